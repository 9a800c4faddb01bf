// A video call: efir says who is in the room (presence) and carries the signals
// between them (a channel); peer.js does the rest.
import { connect } from '/efir.js'
import { keep, kept, make, me, report, room, tell, watch } from '../demo.js'
import { Peer } from './peer.js'

const people_max = 4
const ids = ['faces', 'said', 'join', 'watch', 'leave', 'servers']
const [faces, said, join, without, leave, servers] = ids.map((id) => document.getElementById(id))
const peers = new Map() // who → { peer, face }

const client = connect(undefined, { member: { id: me.id, name: me.name } })
const channel = client.channel(`demo:call:${room}`)
watch(client)

join.onclick = () => openCamera().then(enter, explain)
without.onclick = () => enter(new MediaStream())
leave.onclick = () => location.reload()

async function openCamera() {
  if (!navigator.mediaDevices) throw new DOMException('', 'SecurityError')
  return navigator.mediaDevices.getUserMedia({ audio: true, video: { width: { ideal: 1_280 } } })
}

/** The page has words for each error that a camera is refused with. */
function explain(error) {
  const reason = document.querySelector(`[data-why="${error.name}"]`)
  if (reason) reason.hidden = false
  else report(error)
}

// --- in the room

async function enter(stream) {
  for (const gone of [join, without, ...document.querySelectorAll('[data-why]')]) gone.hidden = true
  leave.hidden = false
  showFace(stream, me.name, 'own')
  for (const kind of ['audio', 'video']) switchFor(kind, stream)
  try {
    // First where the log stands, then our presence: a signal to us can only come
    // after this cursor, so none is missed.
    const { cursor } = await channel.history({ last: 1 })
    channel.subscribe(({ data }) => data?.to === me.id && take(data, stream), { after: cursor })
    await channel.presence.enter({ name: me.name })
    channel.presence.subscribe(({ members }) => greet(members, stream))
  } catch (error) {
    report(error)
  }
}

function greet(members, stream) {
  for (const who of peers.keys()) if (!members.has(who)) part(who)
  for (const [who, { name }] of members) if (who !== me.id) meet(who, name, stream)
  showCount()
}

function take({ who, name, signal }, stream) {
  meet(who, name, stream)?.peer.hear(signal).catch(report)
}

/** The peer for somebody in the room, made by presence or by a signal: whichever is first. */
function meet(who, name, stream) {
  if (!peers.has(who) && peers.size < people_max - 1) {
    const face = showFace(new MediaStream(), name)
    const peer = new Peer({
      servers: listServers(),
      stream,
      isPolite: me.id < who,
      tell: (signal) => channel.publish({ who: me.id, name: me.name, to: who, signal }).catch(report),
      show: (stream) => (face.querySelector('video').srcObject = stream),
    })
    peers.set(who, { peer, face })
  }
  return peers.get(who)
}

function part(who) {
  const { peer, face } = peers.get(who)
  peer.close()
  face.remove()
  peers.delete(who)
}

// --- what is seen

function showFace(stream, name, className = '') {
  const face = make('figure', `face card ${className}`)
  const video = make('video')
  Object.assign(video, { srcObject: stream, autoplay: true, playsInline: true, muted: className === 'own' })
  face.append(video, make('figcaption', '', name))
  faces.append(face)
  return face
}

function showCount() {
  if (peers.size > 0) tell(said, `In the call: ${peers.size + 1}`, `В звонке: ${peers.size + 1}`)
  else tell(said, 'Nobody else is here yet: send the link.', 'Здесь пока никого: отправьте ссылку.')
}

function switchFor(kind, stream) {
  const button = document.getElementById(kind)
  const tracks = stream.getTracks().filter((track) => track.kind === kind)
  button.hidden = tracks.length === 0
  button.onclick = () => {
    const isOff = button.getAttribute('aria-pressed') === 'false'
    for (const track of tracks) track.enabled = !isOff
    button.setAttribute('aria-pressed', isOff)
  }
}

// --- servers for calls between networks: none unless they are named

servers.value = kept('servers') ?? ''
servers.onchange = () => keep('servers', servers.value)

/** `turn:user:password@host` → what the browser wants. */
function listServers() {
  return servers.value.split(/\s+/).filter(Boolean).map((line) => {
    const parts = /^(\w+:)(?:([^:]+):(.+)@)?(.+)$/.exec(line) ?? []
    const [, scheme, username, credential, host] = parts
    return { urls: `${scheme}${host}`, username, credential }
  })
}
