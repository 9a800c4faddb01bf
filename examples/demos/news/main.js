// A news feed over Server-Sent Events with notifications of the browser.
import { connect, sse } from '/efir.js'
import { make, me, report, room, watch } from '../demo.js'

// One direction is all that a feed needs, so it asks for this transport only;
// publishing is a POST beside it.
const client = connect(undefined, { transports: [sse] })
const channel = client.channel(`demo:news:${room}`)
watch(client)

// --- reading: what is there already, then everything after its cursor. No item is missed or repeated where the two meet.

async function read() {
  const { messages, cursor } = await channel.history({ last: 50 })
  for (const message of messages) show(message)
  channel.subscribe(
    (message) => {
      show(message).classList.add('fresh')
      if (message.data?.who !== me.id) announce(message)
    },
    { after: cursor },
  )
}
read().catch(report)

function show({ data, time, position }) {
  const item = make('li', 'card item')
  item.id = position
  const when = make('time', '', new Date(time).toLocaleTimeString())
  when.dateTime = new Date(time).toISOString()
  // Anybody may publish anything, plain text included.
  const { title = String(data), text = '', by = '' } = data ?? {}
  item.append(make('h3', '', title), make('p', '', text), make('small', '', by), when)
  document.querySelector('#news').prepend(item)
  document.querySelector('#empty').hidden = true
  return item
}

// --- notifications: the browser asks only when the button is pressed, as it should

const notify = document.querySelector('#notify')

function showPermission() {
  const now = globalThis.Notification && isSecureContext ? Notification.permission : 'missing'
  for (const words of document.querySelectorAll('[data-when]')) words.hidden = words.dataset.when !== now
  notify.disabled = now !== 'default'
}
showPermission()

notify.onclick = async () => {
  await Notification.requestPermission()
  showPermission()
}

function announce({ data, position }) {
  if (document.hasFocus() || globalThis.Notification?.permission !== 'granted') return
  try {
    // The same tag from several windows is one notification.
    const notification = new Notification(data?.title ?? String(data), { body: data?.text ?? '', tag: position })
    notification.onclick = () => {
      focus()
      document.getElementById(position)?.scrollIntoView({ block: 'center' })
      notification.close()
    }
  } catch (error) {
    report(error) // phones want a service worker for this
  }
}

// --- publishing

const editor = document.querySelector('#editor')
editor.onsubmit = async (event) => {
  event.preventDefault()
  const { title, text } = editor.elements
  try {
    await channel.publish({ title: title.value, text: text.value, by: me.name, who: me.id })
    editor.reset()
    title.focus()
  } catch (error) {
    report(error)
  }
}

const address = `${location.origin}/channels/${encodeURIComponent(channel.name)}`
document.querySelector('#curl').textContent = `curl -d 'Hello from a terminal' ${address}`
