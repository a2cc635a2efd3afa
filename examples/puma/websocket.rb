# frozen_string_literal: true

require 'digest/sha1'

# WebSockets (RFC 6455) by Rack's hijacking: short messages only, so that the example needs no gem. A real app would use one.
module WebSocket
  TEXT = 0x81
  CLOSE = 0x88

  # Takes the connection over, in a thread of its own; what the block says to a message goes back.
  def self.accept(env, &reply)
    io = env['rack.hijack'].call
    key = Digest::SHA1.base64digest("#{env['HTTP_SEC_WEBSOCKET_KEY']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
    io.write "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
             "Sec-WebSocket-Accept: #{key}\r\n\r\n"
    Thread.new { talk(io, reply) }
    [-1, {}, []]
  end

  def self.talk(io, reply)
    while (first = io.read(2)&.unpack('CC'))
      mask = io.read(4).bytes
      payload = io.read(first[1] & 0x7f).bytes.each_with_index.map { |byte, at| byte ^ mask[at % 4] }.pack('C*')
      return io.write([CLOSE, payload.bytesize].pack('CC') + payload) if first[0] == CLOSE

      answer = reply.call(payload)
      io.write([TEXT, answer.bytesize].pack('CC') + answer)
    end
  rescue SystemCallError, IOError, NoMethodError
    # The client has left in the middle of a message.
  ensure
    io.close
  end
  private_class_method :talk
end
