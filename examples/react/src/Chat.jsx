import { useState } from 'react'
import { useLongPoll } from './useLongPoll.js'

/** A room: what was said, newest first, and a line to say something. */
export function Chat({ url }) {
  const messages = useLongPoll(url)
  const [text, setText] = useState('')

  async function send(event) {
    event.preventDefault()
    setText('')
    const answer = await fetch(url, { method: 'POST', body: text }).catch(() => null)
    if (!answer?.ok) setText(text) // nothing was published: give the words back
  }

  return (
    <>
      <h1>Long-poll chat in React</h1>
      <form onSubmit={send}>
        <input id="text" value={text} onChange={event => setText(event.target.value)} placeholder="Say something" autoComplete="off" autoFocus />
        <button>Send</button>
      </form>
      <ul id="log">
        {messages.map(({ position, data }) => (
          <li key={position}>{typeof data === 'string' ? data : JSON.stringify(data)}</li>
        ))}
      </ul>
    </>
  )
}
