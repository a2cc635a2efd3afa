/** The headers of the API's own, known to client and daemon. */

/** What a client says about itself, each percent-encoded. They are for the record and grant nothing. */
export const actorHeaders = { by: 'cutover-by', sudoUser: 'cutover-sudo-user', from: 'cutover-from' } as const

/** The name that a client gives its operation, so that it can interrupt it and still hear how it ended. */
export const operationHeader = 'cutover-operation'
