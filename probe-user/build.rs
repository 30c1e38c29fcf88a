//! Refuses to build with a BPF object that is missing, or is not of these sources. There is no placeholder: a
//! tool that traces nothing would look like one that works.

use async_inspect_ebpf::fingerprint;
use std::path::Path;

fn main() {
    let package = Path::new("../probe-ebpf");
    for part in ["src", "Cargo.toml", "prebuilt"] {
        println!("cargo::rerun-if-changed={}", package.join(part).display());
    }
    println!("cargo::rerun-if-changed=build.rs");
    if let Err(why) = check(package) {
        println!("cargo::error=probe-ebpf/prebuilt/async-inspect.bpf.o: {why}");
        println!("cargo::error=try: cargo xtask ebpf build");
    }
}

fn check(package: &Path) -> Result<(), String> {
    let prebuilt = package.join("prebuilt");
    let object = std::fs::read(prebuilt.join("async-inspect.bpf.o")).map_err(|e| e.to_string())?;
    let record = std::fs::read_to_string(prebuilt.join("async-inspect.bpf.txt"))
        .map_err(|e| format!("the text that says what it was built with: {e}"))?;
    let sources = fingerprint::sources(package).map_err(|e| format!("its sources: {e}"))?;
    let says = |name, is: u64| fingerprint::field(&record, name) == Some(format!("{is:016x}").as_str());
    if !says("object", fingerprint::bytes(&object)) {
        return Err("it is not the object that async-inspect.bpf.txt is of".to_owned());
    }
    if !says("sources", sources) {
        return Err("its sources have changed since it was built".to_owned());
    }
    Ok(())
}
