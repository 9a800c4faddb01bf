// Colours JavaScript just enough to be pleasant to read: comments, strings, keywords. Not a parser: made for the files of this folder.

const kinds = {
  comment: /\/\*[\s\S]*?\*\/|\/\/[^\n]*/,
  string: /'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`/,
  word: /\b(?:import|export|from|const|let|function|return|if|else|for|of|in|new|await|async|try|catch|finally|throw|while|true|false|null|undefined|typeof)\b/,
}
const pattern = new RegExp(Object.entries(kinds).map(([kind, { source }]) => `(?<${kind}>${source})`).join('|'), 'g')

/** The text as a fragment in which comments, strings and keywords are spans with a class of that name. */
export function colour(text) {
  const fragment = document.createDocumentFragment()
  let shown = 0
  for (const found of text.matchAll(pattern)) {
    const kind = Object.keys(kinds).find((kind) => found.groups[kind] !== undefined)
    fragment.append(text.slice(shown, found.index))
    fragment.append(Object.assign(document.createElement('span'), { className: `code-${kind}`, textContent: found[0] }))
    shown = found.index + found[0].length
  }
  fragment.append(text.slice(shown))
  return fragment
}
