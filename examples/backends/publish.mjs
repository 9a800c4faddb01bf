// Publishes one message to efir and prints its position. Node 18 or newer, nothing installed.
// usage: node publish.mjs BASE_URL CHANNEL TEXT [KEY]
const ATTEMPTS = 5

/** Publishes `data` as JSON. The same key goes with every attempt, so a retry never makes a second message. */
async function publish(baseUrl, channel, data, key) {
  const url = new URL(`/channels/${encodeURIComponent(channel)}`, baseUrl)
  const request = {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'Idempotency-Key': key },
    body: JSON.stringify(data),
  }
  for (let attempt = 1; ; attempt++) {
    let failure
    try {
      const answer = await fetch(url, { ...request, signal: AbortSignal.timeout(10_000) })
      if (answer.ok) return await answer.json()
      failure = new Error(`efir refused: ${answer.status} ${await answer.text()}`)
      if (answer.status !== 503) throw Object.assign(failure, { isFinal: true })
    } catch (error) {
      failure = error
    }
    if (failure.isFinal || attempt === ATTEMPTS) throw failure
    await new Promise(resolve => setTimeout(resolve, 200 * 2 ** attempt))
  }
}

const [baseUrl, channel, text, key = crypto.randomUUID()] = process.argv.slice(2)
if (text === undefined) {
  console.error('usage: node publish.mjs BASE_URL CHANNEL TEXT [KEY]')
  process.exit(2)
}
try {
  const receipt = await publish(baseUrl, channel, { text }, key)
  console.log(receipt.position)
} catch (error) {
  console.error(String(error))
  process.exitCode = 1
}
