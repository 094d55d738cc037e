// node verify.mjs SERVICE ID_NUMBER      needs Node 18 or newer; nothing to install
import { readFileSync } from 'node:fs'

const gateway = process.env.GATEWAY ?? 'http://127.0.0.1:8899'
const token = readFileSync(process.env.TOKEN_FILE ?? 'local.token', 'utf8').trim()
const [service, id_no] = process.argv.slice(2)
const waiting = new Set(['new', 'waiting', 'hub_away', 'clock_wrong'])

// The same reference is the same request: asking again is harmless.
const reference = process.env.REFERENCE ?? `node-${Date.now()}`
for (let tries = 0; tries < Number(process.env.TRIES ?? 30); tries++) {
  const answer = await fetch(`${gateway}/verify`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ service, id_no, reference }),
  })
  const said = await answer.json()
  if (!waiting.has(said.state)) {
    console.log(JSON.stringify({ state: said.state, code: said.code, sandbox: said.sandbox, columns: said.columns }))
    process.exit(said.state === 'verified' ? 0 : 1)
  }
  await new Promise((done) => setTimeout(done, 1000))
}
console.log(JSON.stringify({ state: 'waiting' }))
process.exit(3)
