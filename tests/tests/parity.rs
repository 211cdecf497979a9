//! The adapters have the same types with the same verbs, or there is a reason.
//!
//! Names are read from the sources: what the root of each crate makes public, and the public methods of those types. Where
//! a type is one of the engine, its methods are those that the engine has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::{ImplItem, Item, Type, UseTree, Visibility};

const ADAPTERS: [&str; 3] = ["ws-tokio", "ws-async-std", "ws-blocking"];

/// What only some adapters have: names (a `*` at the start or end stands for anything), the adapters, the reason.
const ONLY: &[(&[&str], &[&str], &str)] = &[
    (&["Tokio"], &["ws-tokio"], "the runtime by its name; programs have no need to say it"),
    (&["FuturesIo"], &["ws-async-std"], "the runtime by its name; programs have no need to say it"),
    (&["Blocking"], &["ws-blocking"], "the runtime by its name; programs have no need to say it"),
    (&["upgrade"], &["ws-tokio"], "hyper and axum run on tokio"),
    (
        &["Wait*", "CancelToken*", "Interrupted*", "Error::Interrupted", "Error::as_interrupted", "*::set_wait"],
        &["ws-blocking"],
        "a future is interrupted by dropping it, and given a deadline by the runtime; a call that blocks must be told",
    ),
    (
        &["Error::Close"],
        &["ws-blocking"],
        "closing can be interrupted, so it has one error for that and for a code that may not be sent",
    ),
    (
        &["WebSocket::poll_recv*", "Receiver::poll_recv*"],
        &["ws-tokio", "ws-async-std"],
        "for hand-written futures; to look without waiting, a thread sets a timeout of zero",
    ),
    (
        &["Transport", "Fd*", "Duplex*", "pipe", "Pipe"],
        &["ws-blocking"],
        "the others take what has their runtime's `AsyncRead` and `AsyncWrite`; std's `Read` and `Write` can't be waited for",
    ),
    (&["block_on"], &["ws-blocking"], "the others have their runtime's"),
    (&["Server::stack_size"], &["ws-blocking"], "tasks have no stacks of their own"),
    (
        &["ByteStream::shutdown", "ByteWriter::shutdown"],
        &["ws-blocking"],
        "the traits of the others have a method for it, `std::io::Write` has none",
    ),
    (
        &["ByteStream::get_ref"],
        &["ws-tokio", "ws-async-std"],
        "the view takes the connection apart, and has nothing to lend until `into_inner` puts it together",
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All items of a crate, wherever they are in it.
fn items(krate: &str) -> Vec<Item> {
    let mut files = Vec::new();
    sources(&root().join(krate).join("src"), &mut files);
    let mut all = Vec::new();
    for (path, text) in files {
        let file = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        flatten(file.items, &mut all);
    }
    all
}

fn flatten(items: Vec<Item>, into: &mut Vec<Item>) {
    for item in items {
        match item {
            Item::Mod(module) => flatten(module.content.map(|(_, items)| items).unwrap_or_default(), into),
            item => into.push(item),
        }
    }
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// The public methods that a macro writes, if this is one.
fn methods_of_macro(item: &Item) -> Option<(String, Vec<String>)> {
    let Item::Macro(item) = item else { return None };
    let text = item.mac.tokens.to_string();
    let names = text
        .split("pub fn ")
        .skip(1)
        .map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
    Some((item.ident.as_ref()?.to_string(), names.collect()))
}

/// The public methods of each type of a crate.
fn methods(krate: &str) -> BTreeMap<String, BTreeSet<String>> {
    let all = items(krate);
    let mut methods: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let macros: BTreeMap<String, Vec<String>> = all.iter().filter_map(methods_of_macro).collect();
    for item in all {
        match item {
            // A macro that is used with the name of a type first makes methods of that type.
            Item::Macro(item) if item.ident.is_none() => {
                let Some(made) = item.mac.path.get_ident().and_then(|name| macros.get(&name.to_string())) else {
                    continue;
                };
                let Some(first) = item.mac.tokens.into_iter().next() else { continue };
                methods.entry(first.to_string()).or_default().extend(made.iter().cloned());
            }
            Item::Impl(item) if item.trait_.is_none() => {
                let Type::Path(path) = &*item.self_ty else { continue };
                let Some(name) = path.path.segments.last() else { continue };
                let named = methods.entry(name.ident.to_string()).or_default();
                named.extend(item.items.into_iter().filter_map(|item| match item {
                    ImplItem::Fn(method) if is_public(&method.vis) => Some(method.sig.ident.to_string()),
                    _ => None,
                }));
            }
            Item::Enum(item) if is_public(&item.vis) => {
                // What an enum can be is a name like others.
                let named = methods.entry(item.ident.to_string()).or_default();
                named.extend(item.variants.into_iter().map(|variant| variant.ident.to_string()));
            }
            _ => {}
        }
    }
    methods
}

/// The names that a `use` brings, each with the crate or module that it begins with.
fn uses(tree: &UseTree, from: Option<&str>, into: &mut Vec<(String, String)>) {
    match tree {
        UseTree::Path(path) => uses(&path.tree, Some(from.unwrap_or(&path.ident.to_string())), into),
        UseTree::Group(group) => group.items.iter().for_each(|tree| uses(tree, from, into)),
        UseTree::Name(name) => into.push((name.ident.to_string(), from.unwrap_or_default().to_owned())),
        UseTree::Rename(name) => into.push((name.rename.to_string(), from.unwrap_or_default().to_owned())),
        UseTree::Glob(_) => panic!("a root that says `*` does not tell its names"),
    }
}

/// Everything public that an adapter has: `Type`, `function`, `Type::method`.
fn names(adapter: &str, engine: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    let lib = std::fs::read_to_string(root().join(adapter).join("src/lib.rs")).unwrap();
    let own = methods(adapter);
    let mut names = BTreeSet::new();
    let mut add = |name: String, of: Option<&BTreeMap<String, BTreeSet<String>>>| {
        let methods = of.and_then(|methods| methods.get(&name)).into_iter().flatten();
        names.extend(methods.map(|method| format!("{name}::{method}")));
        names.insert(name);
    };
    for item in syn::parse_file(&lib).unwrap().items {
        match item {
            Item::Use(item) if is_public(&item.vis) => {
                let mut found = Vec::new();
                uses(&item.tree, None, &mut found);
                for (name, from) in found {
                    let of = match &*from {
                        "ws_adapter" | "engine" => Some(engine),
                        "ws_proto" => None,
                        _ => Some(&own),
                    };
                    add(name, of);
                }
            }
            Item::Type(item) if is_public(&item.vis) => add(item.ident.to_string(), Some(engine)),
            Item::Fn(item) if is_public(&item.vis) => add(item.sig.ident.to_string(), None),
            Item::Mod(item) if is_public(&item.vis) => add(item.ident.to_string(), None),
            Item::Struct(item) if is_public(&item.vis) => add(item.ident.to_string(), Some(&own)),
            Item::Enum(item) if is_public(&item.vis) => add(item.ident.to_string(), Some(&own)),
            Item::Trait(item) if is_public(&item.vis) => add(item.ident.to_string(), None),
            _ => {}
        }
    }
    names
}

fn stands_for(pattern: &str, name: &str) -> bool {
    if let Some(end) = pattern.strip_prefix('*') {
        return name.ends_with(end);
    }
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

#[test]
fn a_name_of_one_adapter_is_in_all_or_there_is_a_reason() {
    let engine = methods("ws-adapter");
    let of: BTreeMap<&str, BTreeSet<String>> =
        ADAPTERS.iter().map(|adapter| (*adapter, names(adapter, &engine))).collect();
    // The reading works at all.
    for name in ["WebSocket::recv", "Sender::send", "Connector::connect", "Server::serve", "accept", "Message"] {
        assert!(of.values().all(|names| names.contains(name)), "{name}");
    }
    let all: BTreeSet<&String> = of.values().flatten().collect();
    println!("{} names", all.len());
    let mut faults = Vec::new();
    for name in &all {
        let have: Vec<&str> = ADAPTERS.into_iter().filter(|adapter| of[adapter].contains(*name)).collect();
        let row = ONLY.iter().find(|(names, _, _)| names.iter().any(|pattern| stands_for(pattern, name)));
        match row {
            None if have.len() < ADAPTERS.len() => faults.push(format!("{name} is only in {have:?}")),
            Some((_, listed, _)) if *listed != have => faults.push(format!("{name} is in {have:?}, not {listed:?}")),
            _ => {}
        }
    }
    for (names, adapters, why) in ONLY {
        assert!(!adapters.is_empty() && adapters.len() < ADAPTERS.len() && why.len() > 10, "{names:?}");
        for pattern in *names {
            if !all.iter().any(|name| stands_for(pattern, name)) {
                faults.push(format!("{pattern} is listed, and nowhere"));
            }
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// An adapter that gets no fixes any more, because its runtime gets none, must have nothing in it to be fixed.
#[test]
fn threat_123_adapters_are_thin_and_one_says_that_its_runtime_is_discontinued() {
    let readme = std::fs::read_to_string(root().join("ws-async-std/README.md")).unwrap();
    assert!(readme.contains("discontinued") && readme.contains("smol"), "the README does not say it");
    // Only the engine drives connections and handshakes of the core.
    for adapter in ADAPTERS {
        let mut files = Vec::new();
        sources(&root().join(adapter).join("src"), &mut files);
        for (path, text) in files {
            let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            for word in ["Input::new", "handle_timeout", "poll_timeout", ".outgoing(", "wire::", "take_owed"] {
                assert!(!code.contains(word), "{} knows {word}", path.display());
            }
        }
    }
}

fn sources(folder: &Path, into: &mut Vec<(PathBuf, String)>) {
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            into.push((path, text));
        }
    }
}
