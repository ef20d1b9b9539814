//! The whole graph of dependencies: the licences it brings, and the features it must not enable.

use super::{Problem, licence};
use crate::metadata::Metadata;

/// Would make every number of the process text inside, and lose its kind (invariant 8).
const FORBIDDEN_FEATURE: (&str, &str) = ("serde_json", "arbitrary_precision");

/// Looks at every package of the resolved graph.
pub fn check(graph: &Metadata) -> Vec<Problem> {
    let licences = graph.packages.iter().filter_map(|package| {
        let place = format!("{} {}", package.name, package.version);
        let Some(licence) = &package.license else {
            return Some(Problem::new(
                place,
                "names no licence; look at it before using it",
            ));
        };
        (!licence::is_allowed(licence)).then(|| {
            let message = format!("its licence `{licence}` is not on the list that we allow");
            Problem::new(place, message)
        })
    });
    let (package, feature) = FORBIDDEN_FEATURE;
    let nodes = graph.resolve.iter().flat_map(|resolve| &resolve.nodes);
    let features = nodes
        .filter(|node| {
            is_package(&node.id, package) && node.features.iter().any(|it| it == feature)
        })
        .map(|node| {
            let message = format!(
                "{feature} is enabled; `cargo tree -e features -i {package}` shows by whom"
            );
            Problem::new(&node.id, message)
        });
    licences.chain(features).collect()
}

/// Whether cargo's id (`source#name@version`, or `source/name#version`) is of this package.
fn is_package(id: &str, name: &str) -> bool {
    id.rsplit_once('#')
        .is_some_and(|(source, fragment)| match fragment.split_once('@') {
            Some((of, _)) => of == name,
            None => source.rsplit('/').next() == Some(name),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(licence: &str, feature: &str) -> usize {
        let graph = format!(
            r#"{{"target_directory": "target",
                "packages": [{{"name": "serde_json", "version": "1.0.0", "license": {licence}, "dependencies": []}}],
                "resolve": {{"nodes": [{{"id": "registry+x#serde_json@1.0.0", "features": ["{feature}"]}}]}}}}"#
        );
        check(&serde_json::from_str(&graph).unwrap()).len()
    }

    #[test]
    fn licences_and_features_are_looked_at() {
        assert_eq!(problems("\"MIT\"", "raw_value"), 0);
        assert_eq!(problems("\"MIT\"", "arbitrary_precision"), 1);
        assert_eq!(problems("null", "raw_value"), 1);
        assert_eq!(problems("\"GPL-3.0\"", "arbitrary_precision"), 2);
    }

    #[test]
    fn ids_of_both_forms_are_read() {
        assert!(is_package("registry+host#serde_json@1.0.0", "serde_json"));
        assert!(is_package(
            "path+file:///checkout/serde_json#1.0.0",
            "serde_json"
        ));
        assert!(!is_package(
            "registry+host#serde_json_path@1.0.0",
            "serde_json"
        ));
    }
}
