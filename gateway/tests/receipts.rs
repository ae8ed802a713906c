//! What was acknowledged and is gone is found by its receipt, and nothing takes its name: the real program, on a copy of its
//! data that was put back.

#[path = "support/rig.rs"]
mod rig;
#[path = "../../persistence/tests/servers/mod.rs"]
mod servers;
mod support;

use std::path::Path;
use std::process::Output;

use rig::{Asked, PATIENCE, Rig, start, verify};
use serde_json::Value;
use support::process::Plan;

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Holds orders, as they were answered, against what there is.
fn check(plan: &Plan, orders: &[&Value]) -> (Output, String) {
    let file = plan.data_dir.with_extension("receipts");
    let text: Vec<String> = orders.iter().map(ToString::to_string).collect();
    std::fs::write(&file, text.join("\n")).unwrap();
    let output = plan.clone().with("receipts", file.to_str().unwrap()).run("verify");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output, said)
}

#[test]
fn a_copy_that_was_put_back_is_found_out_and_takes_no_name_of_what_was_lost() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan::embedded(folder.path());
    let gateway = start(&plan);
    gateway.create("FR1");
    let before = gateway.grab("FR1", "k1");
    gateway.stop();
    let backup = folder.path().join("backup");
    copy(&plan.data_dir, &backup);
    let gateway = start(&plan);
    let lost: Vec<Value> = (0..5).map(|n| gateway.grab("FR1", &format!("lost-{n}"))).collect();
    gateway.stop();
    let all: Vec<&Value> = [&before].into_iter().chain(&lost).collect();
    let (output, said) = check(&plan, &all);
    assert!(output.status.success() && said.contains("6 receipts: 6 kept, 0 gone"), "{said}");

    std::fs::remove_dir_all(&plan.data_dir).unwrap();
    copy(&backup, &plan.data_dir);
    assert!(verify(&plan).contains("0 with a difference"), "what is left fits");
    let (output, said) = check(&plan, &all);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("6 receipts: 1 kept, 5 gone"), "{said}");

    // Others get the seats, the numbers, and everything but the names.
    let gateway = start(&plan);
    for (place, lost) in lost.iter().enumerate() {
        let new = gateway.grab("FR1", &format!("new-{place}"));
        assert_eq!(new["seq"], lost["seq"], "it takes the place");
        assert_ne!(new["order_id"], lost["order_id"]);
        assert_ne!(new["proof"], lost["proof"]);
        let id = lost["order_id"].as_str().unwrap();
        assert_eq!(gateway.get(&format!("/v1/orders/{id}")).1["code"], "ORDER_NOT_FOUND");
    }
    let id = before["order_id"].as_str().unwrap();
    assert_eq!(gateway.get(&format!("/v1/orders/{id}")).1, before, "what was kept has its name");
    gateway.stop();
    let (output, said) = check(&plan, &all);
    assert!(output.status.code() == Some(1) && said.contains("1 kept, 5 gone"), "{said}");
    verify(&plan);
}

#[test]
fn the_secret_of_ids_is_in_no_database_and_another_one_is_refused_by_name() {
    let rig = Rig::new();
    let plan = rig.plan("one");
    let gateway = start(&plan);
    gateway.create("FR1");
    let order = gateway.grab("FR1", "k");
    gateway.stop();
    let mut other = rig.plan("two").with("id_secret", &"0123456789abcdef".repeat(4)).start();
    let status = other.wait_exit(PATIENCE).expect("it does not start");
    let log = other.log_text();
    assert!(
        !status.success() && log.contains("were made with the secret") && log.contains("id_secret"),
        "{log}"
    );
    // It took nothing from anybody: the first one starts and knows its orders.
    let gateway = start(&plan);
    let id = order["order_id"].as_str().unwrap();
    assert_eq!(gateway.get(&format!("/v1/orders/{id}")).1, order);
    gateway.stop();

    // With the old one behind a new one, all ids stay what they were.
    let secret = plan.settings.iter().find(|(key, _)| key == "id_secret").unwrap().1.clone();
    let both = format!("{},{secret}", "0123456789abcdef".repeat(4));
    let gateway = start(&plan.clone().with("id_secret", &both));
    assert_eq!(gateway.get(&format!("/v1/orders/{id}")).1, order);
    let newer = gateway.grab("FR1", "k2");
    gateway.stop();
    let again = start(&plan.with("id_secret", &both));
    for order in [&order, &newer] {
        let id = order["order_id"].as_str().unwrap();
        assert_eq!(again.get(&format!("/v1/orders/{id}")).1, *order);
    }
    again.stop();
}

#[test]
fn the_first_start_makes_a_secret_and_no_file_of_the_data_holds_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut plan = Plan::embedded(folder.path());
    plan.settings.retain(|(key, _)| key != "id_secret");
    let gateway = start(&plan);
    gateway.create("FR1");
    gateway.grab("FR1", "k");
    gateway.stop();
    let file = plan.data_dir.join("id.secret");
    let text = std::fs::read_to_string(&file).unwrap();
    let digits = text.lines().find(|line| !line.starts_with('#')).unwrap();
    let bytes: Vec<u8> =
        (0..32).map(|place| u8::from_str_radix(&digits[2 * place..2 * place + 2], 16).unwrap()).collect();
    let mut files = vec![plan.data_dir.clone()];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path != file {
            let content = std::fs::read(&path).unwrap();
            let has = |needle: &[u8]| content.windows(needle.len()).any(|window| window == needle);
            assert!(!has(digits.as_bytes()) && !has(&bytes), "{}", path.display());
        }
    }
    // Without it nothing comes up: another one would make other ids.
    std::fs::remove_file(&file).unwrap();
    let mut lost = plan.start();
    let status = lost.wait_exit(PATIENCE).expect("it does not start");
    assert!(
        !status.success() && lost.log_text().contains("were made with the secret"),
        "{}",
        lost.log_text()
    );
}
