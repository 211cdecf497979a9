//! How to link: with the C library's start files where there is an operating system, from `main` where there is none.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let os = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if os == "none" {
        println!("cargo:rustc-link-arg=--entry=main");
        println!("cargo:rustc-link-arg=--no-undefined");
    } else {
        println!("cargo:rustc-link-arg=-lc");
    }
}
