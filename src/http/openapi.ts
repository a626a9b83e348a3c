// The OpenAPI document of the API. It is made from the operations table, so that it cannot say anything else than what
// the server does.
import type { Operation } from './operations.ts'

/** An OpenAPI 3.1 document. */
export function openApi(operations: Operation[], version: string): object {
  return {
    openapi: '3.1.0',
    info: { title: 'potluck', version, description: 'The API of a running peer: loopback only, with a bearer token.' },
    security: [{ token: [] }],
    components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
    paths: Object.fromEntries(
      operations.map((operation) => [`/api/v1/${operation.path}`, { post: describe(operation) }]),
    ),
  }
}

function describe(operation: Operation): object {
  const { summary, properties, required, takes, gives } = operation
  const octets = { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } }
  const query = Object.entries(properties).map(([name, { description, ...schema }]) => ({
    name,
    in: 'query',
    description,
    required: required.includes(name),
    schema,
  }))
  const lines = { 'application/x-ndjson': { schema: lineSchema } }
  return {
    summary,
    ...(takes === 'bytes' ? { parameters: query } : {}),
    requestBody: {
      content:
        takes === 'bytes' ? octets : { 'application/json': { schema: { type: 'object', properties, required } } },
    },
    responses: { 200: { description: 'Progress and results', content: gives === 'bytes' ? octets : lines } },
  }
}

const lineSchema = {
  description: 'One JSON document a line: progress, then results; an error is the last line',
  type: 'object',
  properties: {
    progress: { type: 'object' },
    result: {},
    error: { type: 'object', properties: { code: { type: 'string' }, message: { type: 'string' } } },
  },
}
