//! Alert rules, dashboard and docs against what a server really gives; promtool says whether they are valid.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::client::TestServer;
use crate::page::{Page, scrape};

/// Figures that Prometheus makes by itself.
const OF_PROMETHEUS: [&str; 2] = ["up", "ALERTS"];
/// More than this many series from one process with a few flights would be a mistake.
const SERIES_MAX: usize = 600;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Runs promtool, from Debian's package `prometheus`.
fn promtool(arguments: &[&str], input: &str) {
    let mut child = Command::new("promtool")
        .args(arguments)
        .current_dir(path("docker"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("promtool (Debian package prometheus): {error}"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "promtool {arguments:?}:\n{said}");
}

async fn page() -> Page {
    let server = TestServer::start().await;
    server.grab("DEMO1", r#"{"customer_id":"u","quantity":1}"#).await;
    scrape(&server).await
}

/// Words of an expression that are names of figures.
fn figures(expression: &str) -> BTreeSet<&str> {
    expression
        .split(|character: char| !(character.is_ascii_alphanumeric() || character == '_'))
        .filter(|word| {
            word.starts_with("farerush_") || word.starts_with("process_") || OF_PROMETHEUS.contains(word)
        })
        .collect()
}

#[track_caller]
fn are_given(expression: &str, page: &Page) {
    let (given, asked) = (page.names(), figures(expression));
    assert!(!asked.is_empty(), "asks for nothing: {expression}");
    for name in asked {
        assert!(given.contains(name) || OF_PROMETHEUS.contains(&name), "no figure {name}: {expression}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_units_and_types_are_as_prometheus_wants_them() {
    let page = page().await;
    promtool(&["check", "metrics"], &page.text);
    for (name, kind) in &page.families {
        assert!(name.starts_with("farerush_") || name.starts_with("process_"), "{name}");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
    }
    assert!(page.series() < SERIES_MAX, "{} series", page.series());
}

#[test]
fn alert_rules_are_valid_and_fire_when_they_should() {
    promtool(&["check", "rules", "alerts.yml"], "");
    promtool(&["test", "rules", "alerts.test.yml"], "");
    promtool(&["check", "config", "prometheus.yml"], "");
    let (rules, tests) = (read("docker/alerts.yml"), read("docker/alerts.test.yml"));
    for alert in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(tests.contains(alert), "nothing makes {alert} fire");
        let rule = rules.split(alert).nth(1).unwrap().split("- alert:").next().unwrap();
        for part in ["severity:", "summary:", "action:"] {
            assert!(rule.contains(part), "{alert} has no {part}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn alert_rules_ask_for_figures_that_there_are() {
    let page = page().await;
    let rules = read("docker/alerts.yml");
    let is_said =
        |line: &&str| line.contains("summary: ") || line.contains("action: ") || line.starts_with('#');
    let (said, asked): (Vec<&str>, Vec<&str>) = rules.lines().partition(is_said);
    are_given(&asked.join("\n"), &page);
    // "up" is a word, too.
    for name in figures(&said.join("\n")).into_iter().filter(|name| name.contains('_')) {
        assert!(page.families.contains_key(name), "no figure {name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_asks_for_figures_that_there_are_in_expressions_that_are_valid() {
    let page = page().await;
    let dashboard: Value = serde_json::from_str(&read("docker/grafana/dashboards/farerush.json")).unwrap();
    let mut rules = String::from("groups:\n- name: dashboard\n  rules:\n");
    let mut expressions = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            expressions.push(target["expr"].as_str().unwrap());
        }
    }
    expressions.extend(
        dashboard["annotations"]["list"].as_array().unwrap().iter().map(|a| a["expr"].as_str().unwrap()),
    );
    assert!(expressions.len() > 40, "{}", expressions.len());
    for (number, expression) in expressions.iter().enumerate() {
        are_given(expression, &page);
        let expression = expression.replace("$instance", ".*").replace("$__rate_interval", "1m");
        assert!(!expression.contains('$'), "{expression}");
        rules.push_str(&format!("  - record: r{number}\n    expr: {}\n", Value::from(expression)));
    }
    let mut file = tempfile::NamedTempFile::with_suffix(".yml").unwrap();
    file.write_all(rules.as_bytes()).unwrap();
    promtool(&["check", "rules", "--lint=none", file.path().to_str().unwrap()], "");
}

#[test]
fn the_dashboard_is_built_as_grafana_wants_it() {
    let dashboard: Value = serde_json::from_str(&read("docker/grafana/dashboards/farerush.json")).unwrap();
    assert_eq!(dashboard["uid"], "farerush");
    assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 36);
    let (mut ids, mut cells) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        let at = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{title}");
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(cells.insert((x, y)), "{title} lies on another panel");
            }
        }
        if panel["type"] == "row" {
            continue;
        }
        assert!(["timeseries", "stat"].contains(&panel["type"].as_str().unwrap()), "{title}");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title}");
        let targets = panel["targets"].as_array().unwrap();
        let names: BTreeSet<_> = targets.iter().map(|target| target["refId"].as_str().unwrap()).collect();
        assert_eq!(names.len(), targets.len(), "{title}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_docs_name_every_figure_and_no_other() {
    let page = page().await;
    let docs = read("docs/metrics.md");
    let listed: BTreeSet<&str> = docs
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split(['`', '{']).next())
        .filter(|name| name.starts_with("farerush_") || name.starts_with("process_"))
        .collect();
    let mut given: BTreeSet<&str> = page.families.keys().map(String::as_str).collect();
    // Only there with traces.
    given.insert("farerush_trace_spans_lost_total");
    assert_eq!(listed, given);
    for alert in read("docker/alerts.yml").lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(docs.contains(&format!("`{alert}`")), "{alert} is not in the docs");
    }
}
