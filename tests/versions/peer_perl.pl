# The Perl library Protocol::WebSocket: a client and a server of hixie-75, hixie-76, hybi-08 and 13.
#
#    perl peer_perl.pl client|server
#
# The library does the handshake and the frames; the sockets are ours.  Events and commands are those of control.rb;
# there is one more: fragments HEX HEX..., the pieces of a text message.
use strict;
use warnings;

use Errno qw(EINTR);
use IO::Select;
use IO::Socket::INET;
use Protocol::WebSocket::Frame;
use Protocol::WebSocket::Handshake::Client;
use Protocol::WebSocket::Handshake::Server;

my %names = (
    'draft-hixie-75' => 'hixie-75', 'draft-ietf-hybi-00' => 'hixie-76',
    'draft-ietf-hybi-10' => 'hybi-08', 'draft-ietf-hybi-17' => '13',
);
my %versions = reverse %names;
my %codes = (text => 1, binary => 2, close => 8, ping => 9, pong => 10);
my %kinds = reverse %codes;

$| = 1;
$SIG{PIPE} = 'IGNORE';
my $role = shift;
my $select = IO::Select->new(\*STDIN);
my ($listener, %connection);

sub say_it { print join(' ', @_), "\n" }
sub bytes { pack 'H*', shift // '' }
sub hex_of { unpack 'H*', shift // '' }

sub hixie { $connection{version} =~ /hixie|00/ }

sub transmit {
    my ($type, $data, %more) = @_;
    my $frame = $connection{shake}->build_frame(buffer => $data, max_payload_size => 0, %more);
    $frame->opcode($codes{$type} // 0);
    # In the versions without opcodes only the name of the type counts.
    $frame->{type} = $type;
    write_all($frame->to_bytes);
}

sub write_all {
    my $bytes = shift;
    while (length $bytes) {
        my $n = syswrite $connection{socket}, $bytes;
        return unless $n || $!{EINTR};
        substr $bytes, 0, $n // 0, '';
    }
}

sub opened {
    my ($path, $chosen) = @_;
    my $version = $connection{version} = $connection{shake}->version;
    $connection{open} = 1;
    $connection{closed} = [1006, ''];
    $connection{frames} = $connection{shake}->build_frame(max_payload_size => 0);
    say_it('open', $names{$version}, $path, $chosen || '-');
    transmit('text', 'hello') if $role eq 'server' && $path eq '/hello';
}

sub start_client {
    my ($version, $url, $protocol, $first) = @_;
    my ($host, $port, $path) = $url =~ m{^ws://([^:/]+):(\d+)(/.*)$};
    my $socket = IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port) or die "connect: $!";
    my $shake = Protocol::WebSocket::Handshake::Client->new(url => $url, version => $versions{$version});
    $shake->req->origin("http://$host:$port");
    $shake->req->subprotocol($protocol) if $protocol ne '-';
    %connection = (socket => $socket, shake => $shake, version => $versions{$version}, path => $path);
    $select->add($socket);
    write_all($shake->to_string);
    transmit('text', bytes($first)) if $first ne '-';
}

sub start_server {
    my $socket = $listener->accept or die "accept: $!";
    %connection = (socket => $socket, shake => Protocol::WebSocket::Handshake::Server->new);
    $select->add($socket);
}

sub shake_hands {
    my $input = shift;
    my $shake = $connection{shake};
    if (!$shake->parse($input)) {
        say_it('failed', $shake->error);
        return finish(1);
    }
    if ($role eq 'server' && ($shake->is_done || $shake->is_body)) {
        my $answer = $shake->to_string;
        # Clients of hixie-75 compare this line, and the library has that of hixie-76.
        $answer =~ s/ WebSocket Protocol/ Web Socket Protocol/ if $shake->version eq 'draft-hixie-75';
        write_all($answer);
    }
    return unless $shake->is_done;
    my $path = $role eq 'server' ? $shake->req->resource_name =~ s/\?.*//r : $connection{path};
    opened($path, $shake->res->subprotocol);
    frames($input) if length $input;
}

sub frames {
    my $frames = $connection{frames};
    $frames->append($_[0]);
    while (defined(my $data = $frames->next_bytes)) {
        my $kind = hixie() && !$frames->is_close ? 'text' : $kinds{$frames->opcode};
        if ($kind eq 'close') {
            my ($code, $reason) = length $data >= 2 ? unpack 'n a*', $data : (1005, '');
            $connection{closed} = [$code, $reason];
            transmit('close', $data) unless $connection{closing}++;
            shutdown $connection{socket}, 1 if $role eq 'server';
        } elsif ($kind eq 'ping') {
            transmit('pong', $data);
        } else {
            say_it($kind, hex_of($data));
        }
    }
}

sub finish {
    my $quiet = shift;
    $select->remove($connection{socket});
    close $connection{socket};
    say_it('closed', $connection{closed}[0], hex_of($connection{closed}[1])) if $connection{open};
    say_it('failed', 'the stream ended') if !$connection{open} && !$quiet;
    %connection = ();
}

sub command {
    my ($name, @args) = @_;
    if ($name eq 'open') {
        start_client(@args);
    } elsif ($name eq 'fragments') {
        while (@args) {
            my $part = bytes(shift @args);
            transmit($connection{pieces}++ ? 'continuation' : 'text', $part, fin => @args ? 0 : 1);
        }
    } elsif ($name eq 'close' && $connection{version} ne 'draft-hixie-75') {
        $connection{closing}++;
        transmit('close', @args ? pack('n', $args[0]) . bytes($args[1]) : '');
    } elsif ($name eq 'close' || $name eq 'drop') {
        shutdown $connection{socket}, 2;
    } else {
        transmit($name, bytes($args[0]));
    }
}

if ($role eq 'server') {
    $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 16) or die "listen: $!";
    $select->add($listener);
    say_it('listening on ws://127.0.0.1:' . $listener->sockport);
}
my $commands = '';
while (1) {
    for my $ready ($select->can_read) {
        if ($listener && $ready == $listener) {
            # One at a time.
            $connection{socket} ? select(undef, undef, undef, 0.01) : start_server();
        } elsif ($ready == \*STDIN) {
            sysread(STDIN, $commands, 1 << 20, length $commands) or exit;
            command(split / /, $1) while $commands =~ s/^(.*)\n//;
        } elsif ($connection{socket}) {
            my $n = sysread $ready, my $input, 1 << 16;
            !$n ? finish() : $connection{open} ? frames($input) : shake_hands($input);
        }
    }
}
