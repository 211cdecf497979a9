# What the Ruby peers share: events go out as lines, commands come in as lines.
#
# Events:    listening on URL; open VERSION PATH SUBPROTOCOL; text HEX; binary HEX; pong HEX; closed CODE HEX;
#            failed WHY (no connection came to be); note WHAT
# Commands:  open VERSION URL SUBPROTOCOL FIRST (clients); text HEX; binary HEX; ping HEX; close [CODE [HEX]]; drop
#
# "-" stands for nothing.  The end of the input ends the program.
module Control
  VERSIONS = {
    'hixie-75' => 75, 'hixie-76' => 76, 'hybi-01' => 1, 'hybi-02' => 2, 'hybi-03' => 3, 'hybi-04' => 4,
    'hybi-05' => 5, 'hybi-06' => 6, 'hybi-07' => 7, 'hybi-08' => 8, '13' => 13
  }.freeze

  def self.name(number)
    VERSIONS.key(number) || number.to_s
  end

  def self.say(*words)
    $stdout.write("#{words.join(' ')}\n")
    $stdout.flush
  end

  def self.hex(string)
    string.to_s.b.unpack1('H*')
  end

  def self.bytes(hex)
    [hex.to_s].pack('H*')
  end

  def self.text(hex)
    bytes(hex).force_encoding('UTF-8')
  end

  # Yields each command with its arguments, on a thread of its own.
  def self.commands
    Thread.abort_on_exception = true
    Thread.new do
      $stdin.each_line { |line| yield(*line.split) }
      exit!(0)
    end
  end
end
