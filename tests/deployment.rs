//! What is shipped to deploy with: each file held against its own tool or schema, and against the program.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn installed(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `make test`, which installs what is needed"))
}

/// What it printed, if it ended well.
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}: run scripts/install"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{out}{err}");
    out + &err
}

fn yaml(path: &str) -> Value {
    let mut node = Command::new("node");
    node.arg(root().join("tests/clients/yaml_as_json.cjs")).arg(root().join(path));
    let text = output(node.env("NODE_PATH", installed("LEADRELAY_TEST_NODE_MODULES")));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn the_compose_file_fits_the_schema_of_compose_and_refers_to_what_is_there() {
    let compose = yaml("docker-compose.yml");
    let schema: Value = serde_json::from_str(&read("tests/compose/compose-spec.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let faults: Vec<_> =
        validator.iter_errors(&compose).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(faults.is_empty(), "{faults:#?}");
    let mut wrong = compose.clone();
    wrong["services"]["leadrelay"]["prots"] = Value::Null;
    assert!(!validator.is_valid(&wrong), "the schema refuses nothing");

    let services = compose["services"].as_object().unwrap();
    let volumes = compose["volumes"].as_object().unwrap();
    for (name, service) in services {
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let source = volume.as_str().unwrap().split(':').next().unwrap();
            let there =
                if source.starts_with('.') { root().join(source).exists() } else { volumes.contains_key(source) };
            assert!(there, "{name}: there is no {source}");
        }
        for port in service["ports"].as_array().into_iter().flatten() {
            assert!(port.as_str().unwrap().starts_with("127.0.0.1:"), "{name} publishes {port}");
        }
        for needed in service["depends_on"].as_object().into_iter().flatten() {
            assert!(services.contains_key(needed.0), "{name} needs {}", needed.0);
        }
        assert!(service["image"].as_str().unwrap().contains(':') || name == "leadrelay" || name == "salesforce");
    }
    for name in ["leadrelay", "salesforce"] {
        assert_eq!((&services[name]["read_only"], &services[name]["user"]), (&true.into(), &"10001:10001".into()));
    }
}

/// Renders users for a broker into a folder.
fn render(folder: &Path, arguments: &[&str]) -> String {
    output(Command::new(root().join("deploy/rabbitmq/render")).arg("--out").arg(folder).args(arguments))
}

#[test]
fn the_configuration_of_the_containers_is_sound() {
    let folder = TempDir::new().unwrap();
    render(folder.path(), &["--host", "rabbitmq:5672"]);
    let secret = folder.path().join("key-secret");
    std::fs::write(&secret, "0123456789abcdef").unwrap();
    std::fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    let text = read("deploy/compose/leadrelay.toml").replace("/run/secrets/leadrelay", folder.path().to_str().unwrap());
    std::fs::write(folder.path().join("leadrelay.toml"), text).unwrap();
    let mut check = Command::new(env!("CARGO_BIN_EXE_leadrelay"));
    check.args(["config", "check", "--config"]).arg(folder.path().join("leadrelay.toml"));
    let said = output(&mut check);
    assert!(said.ends_with("is sound (2 destinations, 0 warnings)\n"), "{said}");
    output(Command::new("sh").arg("-n").arg(root().join("deploy/compose/make-secrets")));
}

#[test]
fn passwords_are_made_up_once_and_nobody_else_may_read_them() {
    let folder = TempDir::new().unwrap();
    let said = render(folder.path(), &[]);
    let url = |user: &str| std::fs::read_to_string(folder.path().join(format!("{user}.url"))).unwrap();
    let first = ["producer", "worker", "operator"].map(url);
    assert_eq!(BTreeSet::from(first.clone()).len(), 3);
    render(folder.path(), &[]);
    assert_eq!(["producer", "worker", "operator"].map(url), first, "a second run keeps them");
    for file in ["producer.url", "worker.url", "operator.url", "definitions.json"] {
        let mode = std::fs::metadata(folder.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let definitions = std::fs::read_to_string(folder.path().join("definitions.json")).unwrap();
    for url in first {
        let password = url.split(':').nth(2).unwrap().split('@').next().unwrap().to_owned();
        assert!(password.len() >= 32 && !definitions.contains(&password) && !said.contains(&password));
    }
}

#[test]
fn the_image_is_built_from_what_is_let_into_it_and_runs_as_nobody_in_particular() {
    let docker = read("Dockerfile");
    let version = |text: &str| -> Vec<u32> { text.split('.').map(|part| part.parse().unwrap()).collect() };
    let built_with = docker.split("FROM rust:").nth(1).unwrap().split('-').next().unwrap();
    let manifest = read("Cargo.toml");
    let needed = manifest.split("rust-version = \"").nth(1).unwrap().split('"').next().unwrap();
    assert!(version(built_with) >= version(needed), "{built_with} builds no {needed}");
    let ignored = read(".dockerignore");
    let copies = docker.lines().filter(|line| line.starts_with("COPY ") && !line.contains("--from"));
    for source in copies.flat_map(|line| line.split(' ').skip(1).collect::<Vec<_>>().split_last().unwrap().1.to_vec()) {
        assert!(root().join(source).exists(), "there is no {source}");
        assert!(ignored.lines().any(|line| line == format!("!{source}")), "{source} is ignored");
    }
    // A target that Cargo.toml names and that is not copied would end the build.
    let context = TempDir::new().unwrap();
    for part in ignored.lines().filter_map(|line| line.strip_prefix('!')) {
        output(Command::new("cp").arg("-r").arg(root().join(part)).arg(context.path()));
    }
    let mut cargo = Command::new(env!("CARGO"));
    output(cargo.current_dir(context.path()).args(["metadata", "--no-deps", "--offline", "--format-version", "1"]));
    let last = docker.rsplit("\nFROM ").next().unwrap();
    for line in ["USER 10001:10001", "ENTRYPOINT [\"leadrelay\"]", "CMD [\"run\"]", "STOPSIGNAL SIGTERM"] {
        assert!(last.lines().any(|found| found == line), "{line}");
    }
    assert!(last.contains("HEALTHCHECK") && last.contains("CMD [\"leadrelay\", \"health\"]"));
}

#[test]
fn the_unit_is_sound_for_systemd_and_leaves_little_exposed() {
    let folder = TempDir::new().unwrap();
    let unit = folder.path().join("leadrelay.service");
    let text = read("deploy/systemd/leadrelay.service").replace("/usr/bin/leadrelay", env!("CARGO_BIN_EXE_leadrelay"));
    std::fs::write(&unit, text).unwrap();
    let said = output(Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit));
    assert!(!said.contains("leadrelay.service:"), "{said}");
    // In tenths: 1.2 of 10, where 10 is a service without any protection.
    output(Command::new("systemd-analyze").args(["security", "--offline=true", "--threshold=15"]).arg(&unit));
}

/// The metrics that a text speaks of, by the names that the program gives them.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let found = text.match_indices("leadrelay_").map(|(at, _)| {
        let name: String = text[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let bare = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix).map(str::to_owned));
        bare.unwrap_or(name)
    });
    found.collect()
}

fn exported() -> BTreeSet<String> {
    let source = read("src/telemetry/metrics.rs");
    let declared = source.split("make.").skip(1).filter_map(|call| call.split('"').nth(1));
    declared.map(|name| format!("leadrelay_{name}")).collect()
}

#[test]
fn alerts_and_dashboard_speak_of_metrics_that_there_are_and_the_dashboard_of_all() {
    let exported = exported();
    assert!(exported.len() > 15);
    let dashboard = metrics_in(&read("deploy/grafana/dashboards/leadrelay.json"));
    for name in metrics_in(&read("deploy/prometheus/alerts.yml")).union(&dashboard) {
        assert!(exported.contains(name), "{name} is exported by nobody");
    }
    let unseen: Vec<_> = exported.difference(&dashboard).collect();
    assert!(unseen.is_empty(), "not on the dashboard: {unseen:?}");
}

#[test]
fn prometheus_takes_the_configuration_and_the_alerts_say_what_they_should() {
    let run = |arguments: &[&str]| {
        let mut promtool = Command::new(installed("LEADRELAY_TEST_PROMTOOL"));
        output(promtool.current_dir(root().join("deploy/prometheus")).args(arguments))
    };
    run(&["check", "config", "prometheus.yml"]);
    run(&["test", "rules", "alerts_test.yml"]);
}

#[test]
fn every_alert_has_its_section_in_the_guide() {
    let guide = read("docs/deploying.md");
    for group in yaml("deploy/prometheus/alerts.yml")["groups"].as_array().unwrap() {
        for rule in group["rules"].as_array().unwrap() {
            let name = rule["alert"].as_str().unwrap();
            assert!(guide.contains(&format!("| `{name}` |")), "{name} is not in docs/deploying.md");
        }
    }
}

#[test]
fn the_dashboard_asks_the_data_source_that_is_provisioned() {
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/dashboards/leadrelay.json")).unwrap();
    let sources = yaml("deploy/grafana/provisioning/datasources/prometheus.yml");
    let uid = &sources["datasources"][0]["uid"];
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "two panels {}", panel["id"]);
        assert_eq!(&panel["datasource"]["uid"], uid);
        let side = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        for (x, y) in (0..side("w")).flat_map(|x| (0..side("h")).map(move |y| (x, y))) {
            let place = (side("x") + x, side("y") + y);
            assert!(place.0 < 24 && taken.insert(place), "{} lies over another", panel["title"]);
        }
        for target in panel["targets"].as_array().unwrap() {
            assert_eq!(&target["datasource"]["uid"], uid);
            // Parsed as it would be asked: with Grafana's own variables filled in.
            let asked = target["expr"].as_str().unwrap().replace("$__rate_interval", "1m").replace("$instance", ".*");
            let rules = format!("groups: [{{ name: x, rules: [{{ record: x, expr: {} }}] }}]", Value::from(asked));
            let file = TempDir::new().unwrap();
            let path: PathBuf = file.path().join("rules.yml");
            std::fs::write(&path, rules).unwrap();
            output(Command::new(installed("LEADRELAY_TEST_PROMTOOL")).args(["check", "rules"]).arg(path));
        }
    }
    let provider = yaml("deploy/grafana/provisioning/dashboards/leadrelay.yml");
    let path = provider["providers"][0]["options"]["path"].as_str().unwrap();
    assert!(read("docker-compose.yml").contains(&format!("./deploy/grafana/dashboards:{path}:ro")));
}
