/** The headers of the API's own, and what else client and daemon have to agree on. */

/** What a client says about itself, each percent-encoded. They are for the record and grant nothing. */
export const actorHeaders = { by: 'cutover-by', sudoUser: 'cutover-sudo-user', from: 'cutover-from' } as const

/** The status of an answer that says no more than that this daemon is gone and the next one is to be asked. */
export const goneStatus = 503

/** The version of the daemon, on each of its answers. */
export const versionHeader = 'cutover-version'

/** The name that a client gives its operation, so that it can interrupt it and still hear how it ended. */
export const operationHeader = 'cutover-operation'
