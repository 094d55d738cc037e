// @sd-jwt/sd-jwt-vc as a peer: issue and verify, counted per CPU-second of this process, threads included.
// Standard input: first one line of JSON {jwk, claims, hidden, token, spoilt}, then lines "issue SECONDS" or
// "verify SECONDS"; each is answered by one line with the rate. Lives beside its node_modules.
import crypto from 'node:crypto';
import readline from 'node:readline';
import { SDJwtVcInstance } from '@sd-jwt/sd-jwt-vc';

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const given = JSON.parse((await lines.next()).value);
const { kid, ...bare } = given.jwk;
const secret = crypto.createPrivateKey({ key: bare, format: 'jwk' });
const { d, ...half } = bare;
const open = crypto.createPublicKey({ key: half, format: 'jwk' });
const bytes = (text) => Buffer.from(text, 'utf8');

const peer = new SDJwtVcInstance({
  signAlg: 'ES256',
  signer: (text) =>
    crypto.sign('sha256', bytes(text), { key: secret, dsaEncoding: 'ieee-p1363' }).toString('base64url'),
  verifier: (text, signature) =>
    crypto.verify('sha256', bytes(text), { key: open, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url')),
  hashAlg: 'sha-256',
  hasher: (data) => new Uint8Array(crypto.createHash('sha256').update(typeof data === 'string' ? data : Buffer.from(data)).digest()),
  saltGenerator: () => crypto.randomBytes(16).toString('base64url'),
});

const work = {
  issue: () => peer.issue(given.claims, { _sd: given.hidden }),
  verify: () => peer.verify(given.token),
};

// It must take what is good and refuse what is not: a verifier that skips work is fast.
const found = (await work.verify()).payload;
for (const name of given.hidden) if (!(name in found)) throw new Error(`${name} is missing`);
let refused = false;
try { await peer.verify(given.spoilt); } catch { refused = true; }
if (!refused) throw new Error('a spoilt token was accepted');
if ((await work.issue()).split('~').length !== given.token.split('~').length) throw new Error('another shape');
console.log('ready');

for await (const line of lines) {
  const [name, seconds] = line.split(' ');
  const end = performance.now() + Number(seconds) * 1000;
  const before = process.cpuUsage();
  let calls = 0;
  while (performance.now() < end) {
    for (let n = 0; n < 5; n++) await work[name]();
    calls += 5;
  }
  const used = process.cpuUsage(before);
  console.log((calls / (used.user + used.system)) * 1e6);
}
