// Webhook: events that others send over HTTP. Nothing runs here; the host receives (src/triggers/inbox.ts).
import type { JsonObject } from '../../providers/contract.ts';
import type { TriggerKind } from '../ports.ts';

const headerName: JsonObject = { type: 'string', pattern: '^[A-Za-z0-9-]{1,64}$' };

const config: JsonObject = {
  type: 'object',
  additionalProperties: false,
  properties: {
    id_header: {
      ...headerName,
      description: 'Header whose value identifies a delivery of a sender that speaks no CloudEvents.',
    },
    signature_header: {
      ...headerName,
      description:
        'Header with the HMAC-SHA256 of the body in hex (also after "sha256="). Requests to the secret URL must ' +
        'carry it when the trigger has a signing secret. Default X-Hub-Signature-256.',
    },
  },
};

export const webhook: TriggerKind = { kind: 'webhook', config };
