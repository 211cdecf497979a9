//! Messages as an application sends them: JSON, all different, the same in each run.

use std::fmt::Write as _;

/// Messages of one cycle.
pub const COUNT: usize = 256;

const WORDS: &[&str] = &[
    "order",
    "shipped",
    "from",
    "the",
    "warehouse",
    "in",
    "with",
    "two",
    "parcels",
    "and",
    "a",
    "note",
    "for",
    "driver",
    "please",
    "call",
    "before",
    "noon",
    "gate",
    "is",
    "closed",
    "after",
    "delivery",
    "customer",
    "asked",
    "to",
    "change",
    "address",
    "second",
    "floor",
    "left",
    "of",
    "entrance",
    "payment",
    "was",
    "taken",
    "on",
    "account",
    "refund",
    "open",
    "ticket",
    "answered",
    "by",
    "support",
    "team",
    "waiting",
    "reply",
    "until",
    "tomorrow",
    "morning",
    "stock",
    "low",
    "item",
    "replaced",
    "similar",
    "model",
    "blue",
    "large",
    "small",
    "red",
    "invoice",
    "sent",
    "again",
    "yesterday",
];
const NAMES: &[&str] = &[
    "Alice Moreau",
    "Bjørn Lund",
    "Chen Wei",
    "Daria Petrova",
    "Emre Yılmaz",
    "Fatima Zahra",
    "Greta Müller",
    "Hiro Tanaka",
    "Ines Costa",
    "Jonas Berg",
    "Kemi Adeyemi",
    "Luca Rossi",
    "Maya Singh",
    "Nora Ní Bhriain",
    "Omar Haddad",
];
const KINDS: &[&str] = &["order.created", "order.updated", "parcel.moved", "ticket.replied", "stock.changed"];
const CITIES: &[&str] = &["Lyon", "Oslo", "Porto", "Gdańsk", "Utrecht", "Graz", "Malmö", "Turin", "Leeds", "Cork"];

/// A generator of numbers that only has to look irregular.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 11) as usize % limit
    }

    fn pick(&mut self, list: &[&'static str]) -> &'static str {
        list[self.below(list.len())]
    }
}

/// [`COUNT`] messages of `len` bytes each.
pub fn json(len: usize) -> Vec<Vec<u8>> {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    (0..COUNT).map(|i| message(&mut numbers, i, len)).collect()
}

fn message(numbers: &mut Numbers, i: usize, len: usize) -> Vec<u8> {
    let mut text = String::with_capacity(len + 512);
    let (id, kind, user) = (numbers.next(), numbers.pick(KINDS), numbers.below(100_000));
    let time = 1_700_000_000_000_u64 + i as u64 * 977 + numbers.below(900) as u64;
    let name = numbers.pick(NAMES);
    let _ = write!(
        text,
        "{{\"id\":\"{id:016x}\",\"type\":\"{kind}\",\"time\":{time},\"sequence\":{},\
         \"user\":{{\"id\":{user},\"name\":\"{name}\",\"verified\":{}}},\"items\":[",
        48_213 + i,
        user % 3 == 0
    );
    const END: &str = "],\"note\":\"\"}";
    loop {
        let before = text.len();
        item(numbers, &mut text);
        if text.len() + END.len() > len {
            text.truncate(before);
            break;
        }
    }
    if text.ends_with(',') {
        text.pop();
    }
    text.push_str("],\"note\":\"");
    while text.len() + "\"}".len() < len {
        text.push_str(numbers.pick(WORDS));
        text.push(' ');
    }
    text.truncate(len - "\"}".len());
    text.push_str("\"}");
    text.into_bytes()
}

/// An object and a comma.
fn item(numbers: &mut Numbers, text: &mut String) {
    let (number, price, amount) = (numbers.below(1_000_000), numbers.below(20_000), 1 + numbers.below(9));
    let (city, state) = (numbers.pick(CITIES), numbers.pick(&["open", "paid", "packed", "sent"]));
    let _ = write!(
        text,
        "{{\"sku\":\"AB-{number:06}\",\"quantity\":{amount},\"price\":{}.{:02},\"currency\":\"EUR\",\"city\":\"{city}\",\
         \"state\":\"{state}\",\"text\":\"",
        price / 100,
        price % 100
    );
    for i in 0..4 + numbers.below(8) {
        if i > 0 {
            text.push(' ');
        }
        text.push_str(numbers.pick(WORDS));
    }
    text.push_str("\"},");
}
