// A real server for tests: EFIR_BIN, or the debug build of this checkout.
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";

const binary = process.env["EFIR_BIN"] ?? new URL("../../../../../../target/debug/efir", import.meta.url).pathname;

/** Why a test cannot run here; false where it can. */
export const skip = !existsSync(binary) && `no server at ${binary}`;

export interface Server {
  readonly url: string;
  kill(): Promise<void>;
}

/** Starts a server in a folder, on a port that it chooses when it is 0. Rejects with what it said when it does not start. */
export async function serve(options: string[] = [], { port = 0, cwd = "." } = {}): Promise<Server> {
  const server: ChildProcess = spawn(binary, ["--listen", `127.0.0.1:${port}`, ...options], {
    cwd,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  const url = await new Promise<string>((done, failed) => {
    const hear = (piece: Buffer): void => {
      said += piece.toString();
      const [address] = /http:\/\/127\.0\.0\.1:\d+/.exec(said) ?? [];
      if (address) done(address);
    };
    server.stdout!.on("data", hear);
    server.stderr!.on("data", hear);
    server.on("exit", () => failed(new Error(said)));
  });
  return {
    url,
    async kill() {
      const gone = new Promise((done) => server.on("exit", done));
      server.kill("SIGKILL");
      await gone;
    },
  };
}
