// What all demos stand in: the head of the page, language and theme, who this visitor is, and the panel with the demo's own source.
// Knows nothing of any demo; a demo needs of it only what it imports.
import { colour } from './colour.js'

const hues = ['poll', 'hang', 'event', 'stream', 'socket']
const root = document.documentElement

/** Every text in the demos stands in the page in both languages; the style sheet shows the one that `<html lang>` names. */
export function tell(element, en, ru) {
  const spans = Object.entries({ en, ru }).map(([lang, textContent]) => Object.assign(document.createElement('span'), { lang, textContent }))
  element.replaceChildren(...spans)
}

/** A new element with a class and a text. */
export function make(tag, className = '', textContent = '') {
  return Object.assign(document.createElement(tag), { className, textContent })
}

/** Who this window is. Two tabs are two visitors here, so that one person can try everything alone. */
export const me = {
  id: Array.from(crypto.getRandomValues(new Uint8Array(6)), (byte) => byte.toString(16).padStart(2, '0')).join(''),
  hue: hues[Math.floor(Math.random() * hues.length)],
  get name() {
    return nameField.value.trim() || '?'
  },
  /** Calls `fn` when another name was typed. */
  onName(fn) {
    nameField.addEventListener('change', fn)
  },
}

/** The room of this page, `#room` in its address: whoever has the same one is together. A page may want a room of its own at first. */
if (!location.hash && document.body.dataset.room === 'own') history.replaceState(null, '', `#${me.id}`)
export const room = decodeURIComponent(location.hash.slice(1)) || 'all'
addEventListener('hashchange', () => location.reload())

/** One of the five colours, whatever somebody else's message says. */
export const hue = (wanted) => (hues.includes(wanted) ? wanted : 'stream')

/**
 * Paces what changes faster than anybody needs: `send` is called at most once every `rest_ms`, never while the call before it is under
 * way, and always once more after the last change.
 */
export function paced(send, rest_ms = 40) {
  let isUnderWay = false
  let isWanted = false
  return async () => {
    isWanted = true
    if (isUnderWay) return
    isUnderWay = true
    while (isWanted) {
      isWanted = false
      const rest = new Promise((over) => setTimeout(over, rest_ms))
      await Promise.resolve(send()).catch(report)
      await rest
    }
    isUnderWay = false
  }
}

/** Shows the state and the transport of a client in the head of the page, and its errors beside them. */
export function watch(client) {
  const show = () => {
    const [en, ru] = states[client.state]
    const by = client.state === 'online' && transports[client.transport]
    state.dataset.state = client.state
    if (client.transport) state.dataset.transport = client.transport
    if (by) tell(state, `${en} over ${by[0]}`, `${ru}: ${by[1]}`)
    else tell(state, en, ru)
    if (client.state === 'online') trouble.textContent = ''
  }
  client.on('state', show)
  client.on('transport', show)
  client.on('error', report)
  addEventListener('pagehide', () => client.close())
  addEventListener('pageshow', (event) => event.persisted && location.reload())
  show()
}

/** Says what went wrong, where everybody sees it. */
export function report(error) {
  trouble.textContent = error?.message ?? String(error)
}

const states = {
  connecting: ['connecting …', 'соединяюсь …'],
  online: ['on air', 'в эфире'],
  offline: ['no connection, trying again', 'нет связи, пробую снова'],
  closed: ['closed', 'закрыто'],
}

const transports = {
  websocket: ['WebSocket', 'WebSocket'],
  sse: ['Server-Sent Events', 'Server-Sent Events'],
  'http-stream': ['HTTP stream', 'HTTP-поток'],
  'long-poll': ['long polling', 'долгий опрос'],
  'short-poll': ['AJAX polling', 'AJAX-опрос'],
}

/** What this browser keeps under a name, or null. Shared with efir's own page. */
export function kept(name) {
  try {
    return localStorage.getItem(`efir.${name}`)
  } catch {
    return null
  }
}

/** Keeps a text under a name. */
export function keep(name, value) {
  try {
    localStorage.setItem(`efir.${name}`, value)
  } catch {
    // Closed storage: the choice lives as long as the page.
  }
}

// --- the head of the page

const svg = 'http://www.w3.org/2000/svg'
const list_page = new URL('./', import.meta.url).pathname
const head = make('header', 'masthead')

/** An icon of the page's head: `shapes` are element names with their attributes. */
function icon(className, side, ...shapes) {
  const icon = document.createElementNS(svg, 'svg')
  icon.setAttribute('viewBox', `0 0 ${side} ${side}`)
  icon.setAttribute('class', className)
  icon.setAttribute('aria-hidden', 'true')
  for (const [name, attributes] of shapes) {
    const shape = icon.appendChild(document.createElementNS(svg, name))
    for (const [attribute, value] of Object.entries(attributes)) shape.setAttribute(attribute, value)
  }
  return icon
}

function brand() {
  const waves = 'M9.6 22.4a9 9 0 0 1 0-12.8M22.4 9.6a9 9 0 0 1 0 12.8M5 27A15.5 15.5 0 0 1 5 5M27 5a15.5 15.5 0 0 1 0 22'
  const link = Object.assign(make('a', 'brand', 'efir'), { href: '/' })
  link.prepend(icon('mark', 32, ['circle', { cx: 16, cy: 16, r: 3.2 }], ['path', { d: waves }]))
  return link
}

/** The pages of efir. */
function navigation() {
  const nav = make('nav', 'pages')
  nav.setAttribute('aria-label', 'efir')
  const pages = { '/': ['Chat', 'Чат'], '/by-hand/': ['By hand', 'Своими руками'], '/lab/': ['Lab', 'Лаборатория'], [list_page]: ['Demos', 'Примеры'] }
  for (const [href, words] of Object.entries(pages)) {
    const link = Object.assign(make('a'), { href })
    if (href === list_page) link.setAttribute('aria-current', location.pathname === href ? 'page' : 'true')
    tell(link, ...words)
    nav.append(link)
  }
  return nav
}

const state = make('p', 'state')
state.setAttribute('role', 'status')
const trouble = make('p', 'trouble')
trouble.setAttribute('role', 'alert')

const nameLabel = make('label', 'field')
const nameField = Object.assign(make('input'), { type: 'text', maxLength: 40, autocomplete: 'nickname' })
nameField.value = kept('nickname') ?? `${root.lang === 'ru' ? 'гость' : 'guest'}-${100 + Math.floor(Math.random() * 900)}`
keep('nickname', nameField.value)
nameField.addEventListener('change', () => keep('nickname', me.name))
const nameText = make('span')
tell(nameText, 'Your name', 'Ваше имя')
nameLabel.append(nameText, nameField)

const language = Object.assign(make('button', 'quiet'), { type: 'button' })
function speak(lang) {
  root.lang = lang
  const heading = document.querySelector(`h1 [lang="${lang}"]`)?.textContent
  document.title = heading ? `${heading} · efir` : 'efir'
  language.lang = lang === 'ru' ? 'en' : 'ru'
  language.textContent = lang === 'ru' ? 'English' : 'Русский'
}
language.dataset.switch = 'language'
language.onclick = () => {
  speak(root.lang === 'ru' ? 'en' : 'ru')
  keep('language', root.lang)
}

const theme = Object.assign(make('button', 'quiet'), { type: 'button' })
const themes = { auto: ['Auto', 'Авто'], light: ['Light', 'Светлая'], dark: ['Dark', 'Тёмная'] }
const next = { auto: 'light', light: 'dark', dark: 'auto' }
function showTheme() {
  const now = root.dataset.theme ?? 'auto'
  const [purpose, name] = [make('span', 'unseen'), make('span')]
  tell(purpose, 'Theme: ', 'Тема: ')
  tell(name, ...themes[now])
  const halves = { auto: [['path', { d: 'M8 2.4a5.6 5.6 0 0 1 0 11.2z' }]], light: [], dark: [['circle', { cx: 8, cy: 8, r: 5.6, class: 'full' }]] }
  theme.replaceChildren(icon('moon', 16, ['circle', { cx: 8, cy: 8, r: 5.6 }], ...halves[now]), purpose, name)
}
theme.dataset.switch = 'theme'
theme.onclick = () => {
  const chosen = next[root.dataset.theme ?? 'auto']
  if (chosen === 'auto') delete root.dataset.theme
  else root.dataset.theme = chosen
  keep('theme', chosen)
  showTheme()
}

const switches = make('div', 'switches')
switches.append(language, theme)
head.append(brand(), navigation())
if (location.pathname !== list_page) head.append(state, trouble, nameLabel)
head.append(switches)
document.body.prepend(head)
showTheme()
speak(root.lang)

// --- the source: the files that the page runs, fetched again and shown as they are

const panel = document.querySelector('#source')
if (panel) await showSource(panel, panel.dataset.files.split(' '))

async function showSource(panel, files) {
  const heading = make('h2')
  tell(heading, 'The source of this page', 'Исходный код этой страницы')
  panel.append(heading)
  for (const file of files) {
    const text = await (await fetch(file)).text()
    const figure = make('figure', 'code')
    const caption = make('figcaption')
    const link = Object.assign(make('a', '', file), { href: file })
    const pre = make('pre')
    // It scrolls, so the keyboard must reach it.
    pre.tabIndex = 0
    pre.setAttribute('role', 'region')
    pre.setAttribute('aria-label', file)
    pre.append(colour(text))
    caption.append(link, copier(text, pre))
    figure.append(caption, pre)
    panel.append(figure)
  }
}

/** A button that copies the text; where a page may not write to the clipboard (plain HTTP), it selects it instead. */
function copier(text, pre) {
  const button = Object.assign(make('button', 'quiet'), { type: 'button' })
  const ready = () => tell(button, 'Copy', 'Копировать')
  button.onclick = async () => {
    try {
      await navigator.clipboard.writeText(text)
      tell(button, 'Copied', 'Скопировано')
    } catch {
      getSelection().selectAllChildren(pre)
      tell(button, 'Selected: press Ctrl+C', 'Выделено: нажмите Ctrl+C')
    }
    setTimeout(ready, 2_000)
  }
  ready()
  return button
}
