// "Open it on a phone": a QR code of this page's address. A loopback address means another machine to a phone, so there it asks for the
// address of this one and says how efir comes to listen there.
import { make, tell } from './demo.js'
import { qr } from './qr.js'

const svg = 'http://www.w3.org/2000/svg'
const isLoopback = /^(localhost|.*\.localhost|127\..*|\[::1\])$/.test(location.hostname)

/** Fills an element with the code and with what there is to know. */
export function offerPhone(panel) {
  const heading = make('h2')
  tell(heading, 'Open it on a phone', 'Откройте на телефоне')
  const code = make('div', 'qr')
  const link = make('a')
  const show = (address) => {
    code.replaceChildren(drawn(address))
    link.href = link.textContent = address
  }
  panel.append(heading)
  if (isLoopback) panel.append(hint(), hostField((host) => show(host ? location.href.replace(location.host, host) : location.href)))
  panel.append(code, link)
  show(location.href)
}

function hint() {
  const text = make('p', 'hint')
  tell(
    text,
    `${location.hostname} leads a phone to itself. Start efir --open --listen 0.0.0.0:8080 and type this computer's address in your network; the code follows.`,
    `${location.hostname} ведёт телефон к нему самому. Запустите efir --open --listen 0.0.0.0:8080 и впишите адрес этого компьютера в вашей сети: код изменится.`,
  )
  return text
}

function hostField(onHost) {
  const label = make('label', 'field')
  const text = make('span')
  tell(text, 'Address, such as 192.168.1.5:8080', 'Адрес, например 192.168.1.5:8080')
  const field = Object.assign(make('input'), { type: 'text', inputMode: 'url', autocomplete: 'off', spellcheck: false })
  field.oninput = () => onHost(/^[\w.:[\]-]+$/.test(field.value.trim()) ? field.value.trim() : '')
  label.append(text, field)
  return label
}

/** One path for all dark modules, black on white in any theme (cameras want it so), with the quiet zone of four. */
function drawn(address) {
  const rows = qr(address)
  const size = rows.length + 8
  const image = document.createElementNS(svg, 'svg')
  image.setAttribute('viewBox', `0 0 ${size} ${size}`)
  image.setAttribute('role', 'img')
  image.setAttribute('aria-label', `QR: ${address}`)
  const path = document.createElementNS(svg, 'path')
  path.setAttribute('d', rows.flatMap((row, y) => row.map((isDark, x) => (isDark ? `M${x + 4} ${y + 4}h1v1h-1z` : ''))).join(''))
  image.append(path)
  return image
}
