# The Ruby library websocket: a client and a server of hixie-75, hixie-76, hybi-03, -07, -08 and 13.
#
#    peer_websocket.rb client|server
#
# The library does the handshake and the frames; the sockets are ours.
require 'socket'
require 'uri'
require 'websocket'
require_relative 'control'

# One connection after its handshake.
class Connection
  def initialize(socket, version, frames)
    @socket = socket
    @version = version
    @frames = frames # the two classes of the role: for what comes in, and for what goes out
    @lock = Mutex.new
    @closing = false
  end

  def frame(type, data = '', code = nil)
    out = @frames::Outgoing.new(version: @version, type: type, data: data, code: code).to_s
    raise "no #{type} frame in this version" if out.nil? || out.empty?

    out
  end

  def send(type, data = '', code = nil)
    @lock.synchronize { @socket.write(frame(type, data, code)) }
  end

  def command(name, *args)
    case name
    when 'text', 'binary', 'ping' then send(name.to_sym, Control.bytes(args[0]))
    when 'close'
      return @socket.shutdown if @version == 75

      @closing = true
      coded? ? send(:close, Control.bytes(args[1]), (args[0] || 1000).to_i) : send(:close)
    when 'drop' then @socket.shutdown
    end
  end

  def coded?
    @version.between?(7, 13)
  end

  # Reads to the end; `bytes` came with the handshake.
  def run(bytes)
    incoming = @frames::Incoming.new(version: @version)
    closed = [1006, '']
    incoming << bytes
    loop do
      while (got = incoming.next)
        closed = taken(got) || closed
      end
      if incoming.error?
        Control.say('note', incoming.error)
        break
      end
      incoming << @socket.readpartial(65_536)
    end
  rescue EOFError, SystemCallError, IOError
    nil
  ensure
    # Not while the other thread is in a write that the peer has already seen.
    @lock.synchronize { @socket.close }
    Control.say('closed', closed[0], Control.hex(closed[1]))
  end

  # Says what came; the code and reason if that was a Close.
  def taken(frame)
    case frame.type
    when :ping then send(:pong, frame.data)
    when :close
      coded? ? send(:close, '', frame.code || 1000) : send(:close) unless @closing
      @closing = true
      @socket.close_write if @frames == Server
      return [frame.code || 1005, frame.data]
    else Control.say(frame.type, Control.hex(frame.data))
    end
    nil
  end
end

module Client
  Incoming = WebSocket::Frame::Incoming::Client
  Outgoing = WebSocket::Frame::Outgoing::Client
end

module Server
  Incoming = WebSocket::Frame::Incoming::Server
  Outgoing = WebSocket::Frame::Outgoing::Server
end

# A head with its blank line, and what came with it; at least `more` bytes of that.
def read_head(socket, more)
  bytes = ''.b
  loop do
    bytes << socket.readpartial(65_536)
    head, blank, rest = bytes.partition("\r\n\r\n")
    needed = more.respond_to?(:call) ? more.call(head) : more
    return head + blank, rest if !blank.empty? && rest.bytesize >= needed
  end
end

def connect(version, url, subprotocol, first)
  number = Control::VERSIONS.fetch(version)
  uri = URI.parse(url)
  options = { url: url, version: number, origin: "http://#{uri.host}:#{uri.port}" }
  options[:protocols] = [subprotocol] unless subprotocol == '-'
  handshake = WebSocket::Handshake::Client.new(options)
  socket = TCPSocket.new(uri.host, uri.port)
  connection = Connection.new(socket, number, Client)
  socket.write(handshake.to_s.b + (first == '-' ? '' : connection.frame(:text, Control.bytes(first)).b))
  # The digest must be there when the library looks, and nothing after it.
  digest = number == 76 || number < 4 ? 16 : 0
  head, rest = read_head(socket, digest)
  handshake << head + rest.byteslice(0, digest)
  raise handshake.error.to_s unless handshake.valid?

  Control.say('open', version, uri.path, chosen(head))
  [connection, rest.byteslice(digest..)]
rescue StandardError => e
  Control.say('failed', e.message)
  socket&.close
  nil
end

def chosen(head)
  head[/^(?:Sec-)?WebSocket-Protocol: *(.*)\r$/i, 1] || '-'
end

def client
  current = nil
  Control.commands do |name, *args|
    if name == 'open'
      current, rest = connect(*args)
      connection = current
      Thread.new { connection.run(rest) } if connection
    else
      current.command(name, *args)
    end
  end.join
end

def accept(socket)
  head, rest = read_head(socket, ->(text) { text =~ /^Sec-WebSocket-Key1:/i ? 8 : 0 })
  handshake = WebSocket::Handshake::Server.new(protocols: ['chat'])
  key = head =~ /^Sec-WebSocket-Key1:/i ? 8 : 0
  handshake << head + rest.byteslice(0, key)
  # The library strips white space and zeros from the eight bytes: they get lost now and then.
  handshake.define_singleton_method(:leftovers) { rest.byteslice(0, key) }
  raise handshake.error.to_s unless handshake.valid?

  answer = handshake.to_s.b
  connection = Connection.new(socket, handshake.version, Server)
  answer << connection.frame(:text, 'hello').b if handshake.path == '/hello'
  socket.write(answer)
  [connection, rest.byteslice(key..), [Control.name(handshake.version), handshake.path, chosen(answer)]]
rescue StandardError => e
  Control.say('failed', e.message)
  socket.close
  nil
end

def server
  listener = TCPServer.new('127.0.0.1', 0)
  current = nil
  Control.commands { |*line| current.command(*line) }
  Control.say("listening on ws://127.0.0.1:#{listener.addr[1]}")
  loop do
    socket = listener.accept
    connection, rest, about = accept(socket)
    next unless connection

    current = connection
    Control.say('open', *about)
    connection.run(rest)
  end
end

ARGV[0] == 'client' ? client : server
