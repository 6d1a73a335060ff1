//! A file added to the page is a reason to build again; the ones there already are known.

fn main() {
    println!("cargo::rerun-if-changed=page");
}
