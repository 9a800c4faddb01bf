// The figures that JavaScript cannot see: requests and bytes, headers and frames included, as the server counts them at the socket
// for each `client=` (`GET /traffic`). Read for all panes at once.

export interface Traffic {
  requests: number;
  empty: number;
  bytes_down: number;
  bytes_up: number;
}

interface ClientTraffic {
  client: string;
  transports: Record<string, Partial<Traffic>>;
}

/** The figures of each client, all its transports together (reading and publishing); clients that the server does not know are missing. */
export async function readTraffic(base: string, clients: readonly string[]): Promise<Map<string, Traffic>> {
  const address = new URL("traffic", base);
  for (const client of clients) address.searchParams.append("client", client);
  const response = await fetch(address, { cache: "no-store", signal: AbortSignal.timeout(5_000) });
  if (!response.ok) return new Map();
  const { clients: counted } = (await response.json()) as { clients: ClientTraffic[] };
  return new Map(counted.map((one) => [one.client, sum(Object.values(one.transports))]));
}

export function sum(parts: ReadonlyArray<Partial<Traffic>>): Traffic {
  const total: Traffic = { requests: 0, empty: 0, bytes_down: 0, bytes_up: 0 };
  for (const part of parts) {
    total.requests += part.requests ?? 0;
    total.empty += part.empty ?? 0;
    total.bytes_down += part.bytes_down ?? 0;
    total.bytes_up += part.bytes_up ?? 0;
  }
  return total;
}
