# The Ruby library em-websocket: a server of hixie-75, hixie-76, hybi-01 to -03, -05 to -08 and 13.
require 'em-websocket'
require_relative 'control'

current = nil

command = lambda do |name, *args|
  case name
  when 'text' then current.send_text(Control.text(args[0]))
  when 'binary' then current.send_binary(Control.bytes(args[0]))
  when 'ping' then current.ping(Control.bytes(args[0]))
  when 'close' then args.empty? ? current.close : current.close(args[0].to_i, Control.bytes(args[1]))
  when 'drop' then current.close_connection
  end
end

EM.run do
  signature = EM::WebSocket.run(host: '127.0.0.1', port: 0) do |ws|
    ws.onopen do |handshake|
      current = ws
      # It sends back what a client of these asks for, and never looks at it.
      number = handshake.protocol_version
      asked = handshake.headers_downcased['sec-websocket-protocol'] if [76, 1, 2, 3].include?(number)
      Control.say('open', Control.name(number), handshake.path, asked || '-')
      ws.send_text(+'hello') if handshake.path == '/hello'
    end
    ws.onmessage { |text| Control.say('text', Control.hex(text)) }
    ws.onbinary { |bytes| Control.say('binary', Control.hex(bytes)) }
    ws.onpong { |bytes| Control.say('pong', Control.hex(bytes)) }
    ws.onclose { |event| Control.say('closed', event[:code], Control.hex(event[:reason])) }
    ws.onerror { |error| Control.say('note', error.message) }
  end
  Control.commands { |*line| EM.next_tick { command.call(*line) } }
  port, = Socket.unpack_sockaddr_in(EM.get_sockname(signature))
  Control.say("listening on ws://127.0.0.1:#{port}")
end
