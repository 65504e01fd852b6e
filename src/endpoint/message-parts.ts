// The blob of a message, cut into the parts its header lists. Throws ProtocolError when they do not fit.
import { splitBlob } from '../protocol/codec.ts';
import type { Message } from '../protocol/messages.ts';

export function partsOf(message: Message, blob: Buffer): Buffer[] {
  switch (message.kind) {
    case 'tasks.submit':
    case 'tasks.run':
      return splitBlob(blob, message.batches).map(([, part]) => part);
    case 'tasks.results':
      return splitBlob(blob, message.slabs).map(([, part]) => part);
    case 'functions':
      return splitBlob(blob, message.functions).map(([, part]) => part);
    default:
      return [];
  }
}
