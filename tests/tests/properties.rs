//! The bodies of the fuzz targets, on streams that look like WebSocket traffic with something wrong in it.

use proptest::prelude::*;
use ws_proto::{Role, Version};
use ws_tests::dialect::Dialect;
use ws_tests::{bodies, compression, extensions, heads};

/// One frame, mostly legal.
fn some_frame(from: Role, version: Version) -> impl Strategy<Value = Vec<u8>> {
    let dialect = Dialect::new(version);
    let b0 = prop_oneof![
        8 => prop::sample::select(vec![0x81_u8, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8a]),
        2 => Just(0x88_u8),
        1 => any::<u8>(),
    ];
    let payload = prop_oneof![
        4 => "[a-z\u{e9}\u{20ac}\u{1f600}]{0,12}".prop_map(String::into_bytes),
        2 => prop::collection::vec(any::<u8>(), 0..20),
        1 => prop::collection::vec(any::<u8>(), 100..400),
        2 => (990_u16..1020, "[a-z]{0,9}").prop_map(|(code, why)| [&code.to_be_bytes(), why.as_bytes()].concat()),
    ];
    (b0, payload, prop::option::weighted(0.1, any::<prop::sample::Index>())).prop_map(move |(b0, payload, cut)| {
        let mut wire = dialect.frame(from, b0, &payload);
        if let Some(cut) = cut.filter(|_| !wire.is_empty()) {
            let at = cut.index(wire.len());
            wire[at] ^= 1 << (at % 8);
        }
        wire
    })
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let of = |from| prop::collection::vec(some_frame(from, Version::Rfc6455), 0..8).prop_map(|frames| frames.concat());
    prop_oneof![of(Role::Client), of(Role::Server), prop::collection::vec(any::<u8>(), 0..64)]
}

fn prefixed(n: usize) -> impl Strategy<Value = Vec<u8>> {
    (prop::collection::vec(any::<u8>(), n), stream()).prop_map(|(choices, stream)| [choices, stream].concat())
}

/// Two bytes of choices for what the bodies of one role read.
fn for_role(from: Role) -> impl Strategy<Value = Vec<u8>> {
    let frames = prop::collection::vec(some_frame(from, Version::Rfc6455), 0..8).prop_map(|frames| frames.concat());
    // Without the bits that would take a byte more: automatic fragmentation, and another version.
    (any::<u8>().prop_map(|bits| bits & 0x3f), frames).prop_map(|(bits, wire)| [vec![bits], wire].concat())
}

/// The value of a header, mostly by the grammar.
fn extension_list() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "server_max_window_bits",
        "client_max_window_bits",
        "server_no_context_takeover",
        "client_no_context_takeover",
        "max_window_bits",
        "no_context_takeover",
    ]);
    let value = prop_oneof![
        6 => (8..=15_u8).prop_map(|bits| format!("={bits}")),
        6 => Just(String::new()),
        1 => "=[0-9\"x]{0,3}",
    ];
    let param = (name, value).prop_map(|(name, value)| format!("; {name}{value}"));
    let params = prop::collection::vec(param, 0..5).prop_map(|params| params.concat());
    let kind = prop_oneof![
        6 => Just("permessage-deflate".to_owned()),
        2 => prop::sample::select(vec!["deflate-frame", "x-webkit-deflate-frame"]).prop_map(Into::into),
        1 => "[a-z;=, \"]{0,6}",
    ];
    let one = (kind, params).prop_map(|(kind, params)| kind + &params);
    prop::collection::vec(one, 1..4).prop_map(|list| list.join(", "))
}

/// Choices of role, offer, limit, step and form; then DEFLATE data with something wrong in it, or anything.
fn inflatable() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let hello = prop::sample::select(vec![
        &b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..],
        b"\xf3\x48\xcd\xc9\xc9\x07\x00",
        b"\xf2\x00\x11\x00\x00",
        b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
        b"\x00\x00\x00\xff\xff",
        b"\x03\x00",
    ]);
    let noise = prop::collection::vec(any::<u8>(), 0..60);
    let piece = prop_oneof![6 => hello.prop_map(<[u8]>::to_vec), 1 => noise];
    let data =
        (prop::collection::vec(piece, 0..8), prop::option::weighted(0.4, any_index())).prop_map(|(all, flip)| {
            let mut data = all.concat();
            if let Some(at) = flip.filter(|_| !data.is_empty()) {
                let at = at.index(data.len());
                data[at] ^= 1 << (at % 8);
            }
            data
        });
    (prop::collection::vec(any::<u8>(), 5), data)
}

fn any_index() -> impl Strategy<Value = prop::sample::Index> {
    any::<prop::sample::Index>()
}

/// A frame of a version before RFC 6455, or what is a frame in hixie-75 and -76 alone.
fn old_frame(from: Role, version: Version) -> impl Strategy<Value = Vec<u8>> {
    let reserved = (any::<u8>(), 0..300_usize, prop::option::of(0..12_usize)).prop_map(|(first, len, zeros)| {
        let digits = [vec![0x80; zeros.unwrap_or(0)], ws_tests::dialect::hixie_length(len as u64)].concat();
        if first < 0x80 { [vec![first], vec![b'j'; len], vec![0xff]] } else { [vec![first], digits, vec![b'k'; len]] }
            .concat()
    });
    let odd = if version <= Version::Hixie76 { 3 } else { 0 };
    prop_oneof![8 => some_frame(from, version), odd => reserved]
}

/// For a version before RFC 6455: a byte for the role if `has_role`, settings with the version, and frames of the peer,
/// now and then of another version.
fn for_version(from: Role, has_role: bool, sizes: usize) -> impl Strategy<Value = Vec<u8>> {
    let versions = 0..Version::ALL.len();
    let spoken = prop_oneof![9 => Just(None), 1 => versions.clone().prop_map(Some)];
    (versions, spoken, any::<u8>(), any::<bool>(), prop::collection::vec(any::<u8>(), sizes)).prop_flat_map(
        move |(number, spoken, bits, binary, sizes)| {
            let spoken = Version::ALL[spoken.unwrap_or(number)];
            let number = number as u8 | if binary { 0x80 } else { 0 };
            let role = if has_role { vec![u8::from(from == Role::Server)] } else { Vec::new() };
            let settings = [role, vec![bits & 0x3f | 0x80, number], sizes].concat();
            prop::collection::vec(old_frame(from, spoken), 0..8)
                .prop_map(move |frames| [settings.clone(), frames.concat()].concat())
        },
    )
}

fn cases() -> ProptestConfig {
    ProptestConfig { cases: if cfg!(miri) { 3 } else { 2000 }, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn any_split_gives_the_same_events_and_output(data in prefixed(11)) {
        bodies::split_invariance(&data);
    }

    #[test]
    fn a_server_agrees_with_the_reference(data in for_role(Role::Client)) {
        bodies::server_bytes(&data);
    }

    #[test]
    fn a_client_agrees_with_the_reference(data in for_role(Role::Server)) {
        bodies::client_bytes(&data);
    }

    #[test]
    fn threat_143_any_split_gives_the_same_in_every_version(
        data in prop_oneof![for_version(Role::Client, true, 8), for_version(Role::Server, true, 8)]
    ) {
        bodies::split_invariance(&data);
    }

    #[test]
    fn threat_143_a_server_of_every_version_agrees_with_the_reference(data in for_version(Role::Client, false, 0)) {
        bodies::server_bytes(&data);
    }

    #[test]
    fn threat_143_a_client_of_every_version_agrees_with_the_reference(data in for_version(Role::Server, false, 0)) {
        bodies::client_bytes(&data);
    }

    #[test]
    fn what_is_sent_is_what_arrives(data in prop::collection::vec(any::<u8>(), 0..300)) {
        bodies::round_trip(&data);
    }

    #[test]
    fn threat_114_any_calls_in_any_order(data in prop::collection::vec(any::<u8>(), 0..600)) {
        bodies::workload(&data);
    }

    #[test]
    fn the_halves_equal_the_whole(data in prop::collection::vec(any::<u8>(), 0..600)) {
        bodies::halves(&data);
    }

    #[test]
    fn offers_and_answers_of_extensions(data in (prop::collection::vec(any::<u8>(), 6), extension_list())
        .prop_map(|(choices, value)| [choices, value.into_bytes()].concat()))
    {
        extensions::extensions(&data);
    }

    #[test]
    fn anything_is_inflated_alike_at_every_split((choices, wire) in inflatable()) {
        compression::inflate(&[choices, wire].concat());
    }
}

/// The seeds of every fuzz target hold in every build.
#[test]
fn the_seeds_of_the_fuzz_targets_hold() {
    type Body = fn(&[u8]);
    let targets: [(&str, Body); 11] = [
        ("split_invariance", bodies::split_invariance),
        ("server_bytes", bodies::server_bytes),
        ("client_bytes", bodies::client_bytes),
        ("round_trip", bodies::round_trip),
        ("halves", bodies::halves),
        ("workload", bodies::workload),
        ("request_head", heads::request_head),
        ("response_head", heads::response_head),
        ("extensions", extensions::extensions),
        ("inflate", compression::inflate),
        ("deflate_round_trip", compression::deflate_round_trip),
    ];
    let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
    for (target, body) in targets {
        let mut files: Vec<_> = seeds.join(target).read_dir().unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        assert!(files.len() >= 10, "{target} has few seeds");
        for file in files {
            println!("{}", file.display());
            body(&std::fs::read(file).unwrap());
        }
    }
}
