//! The bill of materials of the binary: CycloneDX 1.6 as JSON. Crates that are linked into it, and the npm packages that are in its
//! page. The same lock files give the same bytes: no time, no random number.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use base64::Engine;
use serde_json::{Value, json};

use super::graph::{BINARY, Graph, Package};
use crate::root::root;

const PAGE_LOCK: &str = "packages/ui/package-lock.json";

/// The bill.
///
/// # Errors
/// When the page's lock file cannot be read.
pub(super) fn of(graph: &Graph) -> Result<Value> {
    let lock = std::fs::read_to_string(root().join(PAGE_LOCK)).context(PAGE_LOCK)?;
    made(graph, &serde_json::from_str(&lock)?)
}

fn made(graph: &Graph, page: &Value) -> Result<Value> {
    let linked = graph.linked();
    let is_binary = |place: &&usize| graph.packages[**place].name == BINARY;
    let binary = linked.iter().find(is_binary).context("the workspace has no efir-server")?;
    let mut components: Vec<Value> = linked
        .iter()
        .filter(|place| !is_binary(place))
        .map(|place| of_crate(&graph.packages[*place]))
        .collect();
    let mut needs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for place in &linked {
        let package = &graph.packages[*place];
        let mut on: Vec<String> = package
            .links
            .iter()
            .filter(|on| graph.packages[**on].is_linked)
            .map(|linked| address(&graph.packages[*linked]))
            .collect();
        on.sort();
        needs.insert(address(package), on);
    }
    for (path, package) in page["packages"].as_object().into_iter().flatten() {
        if path.is_empty() || package["dev"] == true {
            continue;
        }
        let name = path.rsplit("node_modules/").next().unwrap_or(path);
        let component = of_npm(name, package).with_context(|| format!("{PAGE_LOCK}: {name}"))?;
        let reference = component["bom-ref"].as_str().unwrap_or_default().to_owned();
        needs.entry(address(&graph.packages[*binary])).or_default().push(reference.clone());
        needs.insert(reference, Vec::new());
        components.push(component);
    }
    let dependencies: Vec<Value> =
        needs.into_iter().map(|(reference, on)| json!({ "ref": reference, "dependsOn": on })).collect();
    let mut itself = of_crate(&graph.packages[*binary]);
    (itself["type"], itself["name"]) = ("application".into(), "efir".into());
    Ok(json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": { "component": itself },
        "components": components,
        "dependencies": dependencies,
    }))
}

/// A package URL; it serves as the reference, too.
fn address(package: &Package) -> String {
    format!("pkg:cargo/{}@{}", package.name, package.version)
}

fn of_crate(package: &Package) -> Value {
    let mut component = json!({
        "type": "library",
        "bom-ref": address(package),
        "name": package.name,
        "version": package.version,
        "purl": address(package),
    });
    if let Some(license) = &package.license {
        component["licenses"] = json!([{ "expression": license.replace('/', " OR ") }]);
    }
    if let Some(sum) = &package.checksum {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": sum }]);
    }
    component
}

fn of_npm(name: &str, package: &Value) -> Option<Value> {
    let version = package["version"].as_str()?;
    let address = format!("pkg:npm/{}@{version}", name.replace('@', "%40"));
    let sum = package["integrity"].as_str()?.strip_prefix("sha512-")?;
    let sum = base64::engine::general_purpose::STANDARD.decode(sum).ok()?;
    let digits: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(json!({
        "type": "library",
        "bom-ref": address,
        "name": name,
        "version": version,
        "purl": address,
        "licenses": [{ "expression": package["license"].as_str()? }],
        "hashes": [{ "alg": "SHA-512", "content": digits }],
    }))
}

/// Components of which the bill does not say what they are, and references that lead nowhere.
pub(super) fn gaps(bill: &Value) -> Vec<String> {
    let none = Vec::new();
    let components = bill["components"].as_array().unwrap_or(&none);
    let mut gaps = Vec::new();
    for component in components {
        let is_ours =
            component["name"].as_str().is_some_and(|name| name == "efir" || name.starts_with("efir-"));
        if component["licenses"].is_null() || (component["hashes"].is_null() && !is_ours) {
            gaps.push(format!("{}: no licence or no hash", component["bom-ref"]));
        }
    }
    let known: Vec<&Value> =
        components.iter().chain([&bill["metadata"]["component"]]).map(|one| &one["bom-ref"]).collect();
    for dependency in bill["dependencies"].as_array().unwrap_or(&none) {
        let on = dependency["dependsOn"].as_array().unwrap_or(&none);
        let lost = on.iter().chain([&dependency["ref"]]).filter(|reference| !known.contains(reference));
        gaps.extend(lost.map(|reference| format!("{reference} is no component")));
    }
    if components.is_empty() {
        gaps.push("there is nothing on it".into());
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph() -> Graph {
        let package = |name: &str, links: &[usize]| Package {
            name: name.into(),
            version: "1.0.0".into(),
            license: Some("MIT/Apache-2.0".into()),
            links: links.iter().copied().collect(),
            is_linked: name != "criterion",
            ..Package::default()
        };
        let bytes = Package {
            source: Some("registry+x".into()),
            checksum: Some("ab".into()),
            ..package("bytes", &[])
        };
        Graph {
            packages: vec![
                package(BINARY, &[1]),
                package("efir-core", &[2]),
                bytes,
                package("criterion", &[]),
            ],
        }
    }

    fn page() -> Value {
        json!({ "packages": {
            "": { "name": "page" },
            "node_modules/@preact/signals": { "version": "2.0.0", "license": "MIT", "integrity": "sha512-AQI=" },
            "node_modules/vite": { "version": "8.0.0", "dev": true },
        } })
    }

    #[test]
    fn what_is_in_the_binary_is_on_the_bill_and_nothing_else() {
        let bill = made(&graph(), &page()).unwrap();
        let names: Vec<&str> = bill["components"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|component| component["bom-ref"].as_str())
            .collect();
        assert_eq!(
            names,
            ["pkg:cargo/bytes@1.0.0", "pkg:cargo/efir-core@1.0.0", "pkg:npm/%40preact/signals@2.0.0"]
        );
        assert_eq!(bill["components"][2]["hashes"][0]["content"], "0102");
        assert_eq!(bill["components"][0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert!(gaps(&bill).is_empty(), "{:?}", gaps(&bill));
    }

    #[test]
    fn a_component_without_a_hash_and_a_lost_reference_are_found() {
        let mut bill = made(&graph(), &page()).unwrap();
        bill["components"][0]["hashes"] = Value::Null;
        bill["components"].as_array_mut().unwrap().remove(1);
        assert_eq!(gaps(&bill).len(), 3, "{:?}", gaps(&bill));
        assert_eq!(gaps(&json!({})), ["there is nothing on it"]);
    }
}
