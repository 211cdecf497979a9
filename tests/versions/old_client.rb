# A client of an old version of the protocol, in another language: lines in, messages out.
#
#    ruby tests/versions/old_client.rb hixie-76 ws://127.0.0.1:8181/chat
#
# VERSION is hixie-75, hixie-76, hybi-03, hybi-07, hybi-08 or 13.  It needs the Ruby library websocket (in Debian:
# ruby-websocket), which does the handshake and the frames.
require 'socket'
require 'uri'
require 'websocket'

version, url = ARGV
abort "usage: #{$PROGRAM_NAME} VERSION URL" unless url
version = version.sub(/\A(hixie-|hybi-0?)/, '').to_i
uri = URI.parse(url)
socket = TCPSocket.new(uri.host, uri.port)

handshake = WebSocket::Handshake::Client.new(url: url, version: version, origin: "http://#{uri.host}:#{uri.port}")
socket.write(handshake.to_s)
# The library wants the whole answer, with the sixteen bytes that are behind its head up to hybi-03, and no more.
answer = ''.b
answer << socket.readpartial(1) until answer.end_with?("\r\n\r\n")
answer << socket.read(16) if [76, 3].include?(version)
handshake << answer
abort "refused: #{handshake.error || answer.lines.first}" unless handshake.valid?

send = lambda do |type, data = ''|
  socket.write(WebSocket::Frame::Outgoing::Client.new(version: version, type: type, data: data).to_s)
end
Thread.new do
  $stdin.each_line(chomp: true) { |line| send.call(:text, line) }
  version == 75 ? socket.close_write : send.call(:close)
end

incoming = WebSocket::Frame::Incoming::Client.new(version: version)
begin
  loop do
    incoming << socket.readpartial(65_536)
    while (frame = incoming.next)
      send.call(:pong, frame.data) if frame.type == :ping
      puts frame.data.dup.force_encoding('UTF-8') if frame.type == :text
      $stdout.flush
    end
  end
rescue EOFError, SystemCallError
  puts 'closed'
end
