import { connect } from 'node:net'

/** One request over a connection of its own; the body of the answer. Rejects if it was lost. */
export function ask(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    socket.setEncoding('latin1').on('data', (chunk) => {
      text += chunk
    })
    socket.on('error', reject)
    socket.on('end', () => {
      const head = text.indexOf('\r\n\r\n')
      if (head === -1) reject(new Error('cut short'))
      else resolve(text.slice(head + 4))
    })
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
  })
}
