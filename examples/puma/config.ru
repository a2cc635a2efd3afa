# frozen_string_literal: true

# An ordinary Rack app that knows nothing of Cutover. puma's master listens, its workers inherit the socket; the port is hard-coded.
require 'uri'
require_relative 'websocket'

NAME = ENV.fetch('CUTOVER_RELEASE', 'v0')

# Numbered events until the client leaves.
events = lambda do |every|
  Enumerator.new do |out|
    (1..).each do |count|
      out << "data: #{NAME} #{count}\n\n"
      sleep every
    end
  end
end

text = lambda do |status, body|
  [status, { 'content-type' => 'text/plain', 'content-length' => body.bytesize.to_s }, [body]]
end

run(lambda do |env|
  query = URI.decode_www_form(env['QUERY_STRING']).to_h
  case env['PATH_INFO']
  when '/'
    text.call(200, "#{NAME} pid #{Process.pid}\n")
  when '/slow'
    sleep query.fetch('ms', 1000).to_f / 1000
    text.call(200, "#{NAME} slowly\n")
  when '/stream'
    [200, { 'content-type' => 'text/event-stream' }, events.call(query.fetch('every', 1000).to_f / 1000)]
  when '/websocket'
    WebSocket.accept(env) { |message| "#{NAME} #{message}" }
  else
    text.call(404, "no such page\n")
  end
end)
