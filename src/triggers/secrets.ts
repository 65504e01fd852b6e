// Secrets of webhooks. The one in the URL is only compared, so its hash is stored; a signing secret is needed in
// clear to check signatures, so it is stored sealed (AES-256-GCM) with the service's key.
import { createCipheriv, createDecipheriv, createHash, createHmac, timingSafeEqual } from 'node:crypto';

const NONCE = 12;
const TAG = 16;

/** SHA-256 of a secret: 32 bytes. */
export function hashSecret(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}

/** Is this the secret of that hash? Takes the same time whatever the answer; false for no hash. */
export function isSecret(secret: string, hash: Buffer | null): boolean {
  const known = hash !== null && hash.length === 32;
  return timingSafeEqual(hashSecret(secret), known ? hash : Buffer.alloc(32)) && known;
}

/** Encrypts a secret; `key` has 32 bytes, `nonce` 12 random ones. */
export function seal(secret: string, key: Buffer, nonce: Buffer): Buffer {
  const cipher = createCipheriv('aes-256-gcm', key, nonce.subarray(0, NONCE));
  const body = Buffer.concat([cipher.update(secret, 'utf8'), cipher.final()]);
  return Buffer.concat([nonce.subarray(0, NONCE), cipher.getAuthTag(), body]);
}

/** Decrypts what seal made. Throws for another key or a changed text. */
export function unseal(sealed: Buffer, key: Buffer): string {
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, NONCE));
  decipher.setAuthTag(sealed.subarray(NONCE, NONCE + TAG));
  return Buffer.concat([decipher.update(sealed.subarray(NONCE + TAG)), decipher.final()]).toString('utf8');
}

/** Does `signature` (hex, perhaps after `sha256=`) sign this body with this secret? */
export function isSigned(body: Uint8Array, signature: string, secret: string): boolean {
  const hex = signature
    .trim()
    .toLowerCase()
    .replace(/^sha256=/, '');
  const given = Buffer.from(hex, 'hex');
  const right = createHmac('sha256', secret).update(body).digest();
  return given.length === right.length && timingSafeEqual(given, right);
}
