# The Ruby library websocket-driver: a server of hixie-75, hixie-76, hybi-07, -08 and 13, and a client of 13.
#
#    peer_driver.rb client|server
#
# The library does the handshake and the frames; the sockets are ours.
require 'socket'
require 'uri'
require 'websocket/driver'
require_relative 'control'

class Connection
  attr_reader :url

  def initialize(socket, url = nil)
    @socket = socket
    @url = url
    @closed = nil
    @lock = Monitor.new
    @driver = url ? client : WebSocket::Driver.server(self, protocols: ['chat'])
    events
  end

  def client
    WebSocket::Driver.client(self)
  end

  # For the library, as is `url`.
  def write(bytes)
    @socket.write(bytes)
  rescue SystemCallError, IOError
    nil
  end

  def events
    @driver.on(:connect) do
      WebSocket::Driver.websocket?(@driver.env) ? @driver.start : @socket.close unless @url
    end
    @driver.on(:open) do
      path = @url ? URI.parse(@url).path : @driver.env['PATH_INFO']
      number = @url ? '13' : @driver.version.sub(/\Ahybi-/, '')
      number = Control.name(number.to_i) unless number.start_with?('hixie')
      Control.say('open', number, path, @driver.protocol || '-')
      @driver.text(+'hello') if path == '/hello'
    end
    @driver.on(:message) do |event|
      data = event.data
      data.is_a?(Array) ? say('binary', data.pack('C*')) : say('text', data)
    end
    @driver.on(:error) { |error| Control.say('note', error.message) }
    @driver.on(:close) do |event|
      @closed = [event.code || 1005, event.reason]
      @socket.close_write
    rescue SystemCallError, IOError
      nil
    end
  end

  def say(what, data)
    Control.say(what, Control.hex(data))
  end

  def command(name, *args)
    @lock.synchronize do
      case name
      when 'text' then @driver.text(Control.text(args[0]))
      when 'binary' then @driver.binary(Control.bytes(args[0]).bytes)
      when 'ping'
        payload = Control.text(args[0])
        @driver.ping(payload) { say('pong', payload) }
      when 'close' then @driver.close(Control.text(args[1]), args[0]&.to_i)
      when 'drop' then @socket.shutdown
      end
    end
  end

  def run
    @driver.start if @url
    loop do
      bytes = @socket.readpartial(65_536)
      @lock.synchronize { @driver.parse(bytes) }
    end
  rescue EOFError, SystemCallError, IOError
    nil
  ensure
    # Not while the other thread is in a write that the peer has already seen.
    @lock.synchronize { @socket.close }
    code, reason = @closed || [1006, '']
    Control.say('closed', code, Control.hex(reason))
  end
end

def client
  current = nil
  Control.commands do |name, *args|
    if name == 'open'
      uri = URI.parse(args[1])
      current = Connection.new(TCPSocket.new(uri.host, uri.port), args[1])
      Thread.new { current.run }
    else
      current.command(name, *args)
    end
  end.join
end

def server
  listener = TCPServer.new('127.0.0.1', 0)
  current = nil
  Control.commands { |*line| current.command(*line) }
  Control.say("listening on ws://127.0.0.1:#{listener.addr[1]}")
  loop { (current = Connection.new(listener.accept)).run }
end

ARGV[0] == 'client' ? client : server
