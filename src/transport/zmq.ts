// Links over ZeroMQ with CURVE. This folder is the only importer of zeromq.
import { curveKeyPair } from 'zeromq';
import type { KeyPair } from './link.ts';

export { openHub } from './zmq-hub.ts';
export { openLine } from './zmq-line.ts';

/** A new CURVE key pair, z85. */
export function makeKeys(): KeyPair {
  return curveKeyPair();
}
