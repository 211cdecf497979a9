//! The program behind `bench/run`; it starts itself again as the server under measurement.

use ws_bench::measure::once;
use ws_bench::options::Options;
use ws_bench::{echo, idle, memory, serve};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Err(error) = run(&arguments) {
        eprintln!("{error}");
        std::process::exit(2);
    }
}

fn run(arguments: &[String]) -> Result<(), String> {
    match arguments.first().map(String::as_str) {
        Some("serve") => serve::run(arguments, None),
        Some("one") => {
            let (peer, row, iterations) = memory::parse_one(arguments)?;
            once(peer, &row, iterations);
            Ok(())
        }
        _ => {
            let options = Options::parse(arguments.iter().cloned())?;
            if options.memory {
                memory::run(&options);
            }
            if options.echo {
                echo::run(&options);
            }
            if options.idle {
                idle::run(&options).map_err(|error| error.to_string())?;
            }
            Ok(())
        }
    }
}
