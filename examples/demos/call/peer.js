// One other person in the call: a connection that both sides may renegotiate at any
// time. When two offers cross, the polite side gives way. Knows nothing of how
// signals travel: it gets them by `hear` and gives them to `tell`.

/**
 * `tell(signal)` carries a signal to the other side; `show(stream)` is called with
 * the picture and sound that come.
 */
export class Peer {
  #connection
  #tell
  #isPolite
  #isOffering = false
  #isIgnoring = false
  #heard = Promise.resolve()

  constructor({ servers, stream, isPolite, tell, show }) {
    this.#tell = tell
    this.#isPolite = isPolite
    const connection = (this.#connection = new RTCPeerConnection({ iceServers: servers }))
    connection.onnegotiationneeded = () => this.#offer()
    connection.onicecandidate = ({ candidate }) => candidate && tell({ candidate })
    connection.ontrack = ({ streams }) => show(streams[0])
    connection.onconnectionstatechange = () => connection.connectionState === 'failed' && connection.restartIce()
    for (const track of stream.getTracks()) connection.addTrack(track, stream)
    // Who makes the first offer asks for sound and picture even when it has none to
    // give.
    const missing = ['audio', 'video'].filter((kind) => !stream.getTracks().some((track) => track.kind === kind))
    if (!isPolite) for (const kind of missing) connection.addTransceiver(kind, { direction: 'recvonly' })
  }

  /** Takes a signal of the other side, in the order in which they came. */
  hear(signal) {
    this.#heard = this.#heard.then(() => this.#take(signal))
    return this.#heard
  }

  close() {
    this.#connection.close()
  }

  async #offer() {
    // The first offer is the impolite side's, so that the two do not cross at once;
    // the browser asks again after it, if need be.
    if (this.#isPolite && !this.#connection.remoteDescription) return
    this.#isOffering = true
    try {
      await this.#connection.setLocalDescription()
      this.#tell({ description: this.#connection.localDescription })
    } finally {
      this.#isOffering = false
    }
  }

  async #take({ description, candidate }) {
    const connection = this.#connection
    if (connection.signalingState === 'closed') return
    if (description) {
      const isCrossing = description.type === 'offer' && (this.#isOffering || connection.signalingState !== 'stable')
      this.#isIgnoring = isCrossing && !this.#isPolite
      if (this.#isIgnoring) return
      // A polite side's own offer is rolled back by this.
      await connection.setRemoteDescription(description)
      if (description.type === 'offer') {
        await connection.setLocalDescription()
        this.#tell({ description: connection.localDescription })
      }
    } else if (candidate && !this.#isIgnoring) {
      await connection.addIceCandidate(candidate)
    }
  }
}
