//! `contract/asyncapi.yaml`, read by AsyncAPI's own parser. (That it says what the program declares, a test beside the
//! topology shows.)

use std::path::Path;
use std::process::Command;

#[test]
fn the_contract_is_sound_for_the_parser_of_asyncapi_and_its_examples_fit() {
    let modules = std::env::var("LEADRELAY_TEST_NODE_MODULES")
        .expect("LEADRELAY_TEST_NODE_MODULES is not set: run `make test`, which installs the parser");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut node = Command::new("node");
    node.arg(root.join("tests/clients/check_asyncapi.cjs")).arg(root.join("contract/asyncapi.yaml"));
    let output = node.env("NODE_PATH", modules).output().expect("node");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && out.ends_with(" steps\n"), "{out}{err}");
}
