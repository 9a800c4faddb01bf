import { useEffect, useState } from 'react'

/** The messages of a channel, newest first: each GET hangs until something comes, then the next one asks for what follows. */
export function useLongPoll(url) {
  const [messages, setMessages] = useState([])

  useEffect(() => {
    const stop = new AbortController()
    let from = 'last=50' // then the cursor: the last position that was read

    async function poll() {
      const answer = await fetch(`${url}?${from}&wait=25`, { cache: 'no-store', signal: stop.signal })
      if (!answer.ok) throw new Error(`efir answered ${answer.status}`)
      const batch = await answer.json()
      from = `after=${batch.cursor}`
      if (!stop.signal.aborted) setMessages(shown => [...batch.messages.toReversed(), ...shown])
    }

    async function listen() {
      while (!stop.signal.aborted) {
        await poll().catch(() => new Promise(again => setTimeout(again, 1000)))
      }
    }

    setMessages([])
    listen()
    return () => stop.abort()
  }, [url])

  return messages
}
