// The fenced blocks of a paper, as somebody would copy them: files (their first line is a comment with their name) and commands.
// Knows Markdown and nothing of efir.
import { readFileSync } from "node:fs";
import path from "node:path";
import { root } from "../stage/server.mjs";

/** `// chat.mjs`, `# run.py`, `<!-- index.html -->`: a path with an ending, alone in a comment. */
const named = /^(?:\/\/|#|<!--)\s*([\w.-]+(?:\/[\w.-]+)*\.\w+)\s*(?:-->)?$/;

/**
 * The blocks of a paper of this checkout, in order: `{line, heading, language, name, text}`; `name` is undefined unless the block is a
 * file, and `heading` the text of the nearest heading above it.
 */
export function blocks(paper) {
  const lines = readFileSync(path.join(root, paper), "utf8").split("\n");
  const found = [];
  let heading = "";
  let open;
  for (const [index, line] of lines.entries()) {
    const fence = /^```(\S*)$/.exec(line);
    if (open && line === "```") {
      found.push({ ...open, name: named.exec(open.lines[0] ?? "")?.[1], text: `${open.lines.join("\n")}\n` });
      open = undefined;
    } else if (open) {
      open.lines.push(line);
    } else if (fence) {
      open = { line: index + 1, heading, language: fence[1], lines: [] };
    } else if (line.startsWith("#")) {
      heading = line.replace(/^#+\s*/, "");
    }
  }
  if (open) throw new Error(`${paper}:${open.line}: this block does not end`);
  return found;
}

/** The blocks that stand under one heading with the file of that name. */
export function blocksBeside(paper, name) {
  const all = blocks(paper);
  const file = all.find((block) => block.name === name);
  if (!file) throw new Error(`${paper} has no block that begins with a comment «${name}»`);
  return all.filter((block) => block.heading === file.heading);
}

/** The commands of a block of shell, without comments. */
export function commands(block) {
  const lines = block.text.split("\n").map((line) => line.replace(/(^|\s+)# .*$/, "").trim());
  return lines.filter((line) => line !== "");
}

/** The commands of a console block, each with what it is shown to print: `$ node chat.mjs` and the lines below it. */
export function sessions(block) {
  const found = [];
  for (const line of block.text.trimEnd().split("\n")) {
    if (line.startsWith("$ ")) found.push({ command: line.slice(2), printed: "" });
    else if (found.length > 0) found.at(-1).printed += `${line}\n`;
    else throw new Error(`line ${block.line}: a console block begins with «$ »`);
  }
  return found;
}
