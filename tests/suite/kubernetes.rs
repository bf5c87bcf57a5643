//! The Jobs in `contrib/kubernetes`: what the API takes, and their commands run as the pods would.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::batch::{batch, contents, site};
use super::support::{Ran, fixture, fixture_modules, ibwrt_command, run, tool};

const IMAGE: &str = "openwrt-mini-ib-ext4-combined.img.gz";

/// The one document in a YAML file.
fn document(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/kubernetes").join(name);
    let program = "import json, sys, yaml\nprint(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    let ran = run(tool("python3").args(["-c", program]).arg(path)).expect_status(0);
    let documents: Vec<Value> = serde_json::from_str(&ran.text()).unwrap();
    let [document] = documents.try_into().unwrap();
    document
}

/// Every key below `value`, as `spec.template.spec`; the items of a list count as one.
fn keys(value: &Value, place: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let place = format!("{place}.{key}");
                found.insert(place.trim_start_matches('.').to_owned());
                keys(value, &place, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| keys(item, place, found)),
        _ => {}
    }
}

/// What the API knows of what is used. Source: Kubernetes API reference, Job v1 batch and Pod v1 core.
const KNOWN: &str = "
apiVersion kind metadata metadata.name metadata.labels metadata.labels.app.kubernetes.io/name spec
spec.completionMode spec.completions spec.parallelism spec.backoffLimit spec.backoffLimitPerIndex spec.podFailurePolicy
spec.podFailurePolicy.rules spec.podFailurePolicy.rules.action spec.podFailurePolicy.rules.onExitCodes
spec.podFailurePolicy.rules.onExitCodes.containerName spec.podFailurePolicy.rules.onExitCodes.operator
spec.podFailurePolicy.rules.onExitCodes.values spec.podFailurePolicy.rules.onPodConditions
spec.podFailurePolicy.rules.onPodConditions.type spec.podFailurePolicy.rules.onPodConditions.status
spec.template spec.template.metadata spec.template.metadata.labels
spec.template.metadata.labels.app.kubernetes.io/name spec.template.spec
POD.restartPolicy POD.automountServiceAccountToken POD.securityContext POD.securityContext.runAsNonRoot
POD.securityContext.runAsUser POD.securityContext.runAsGroup POD.securityContext.fsGroup POD.securityContext.seccompProfile
POD.securityContext.seccompProfile.type POD.containers POD.containers.name POD.containers.image POD.containers.command
POD.containers.env POD.containers.env.name POD.containers.env.value POD.containers.resources
POD.containers.resources.requests POD.containers.resources.requests.cpu POD.containers.resources.requests.memory
POD.containers.resources.limits POD.containers.resources.limits.memory POD.containers.securityContext
POD.containers.securityContext.allowPrivilegeEscalation POD.containers.securityContext.readOnlyRootFilesystem
POD.containers.securityContext.capabilities POD.containers.securityContext.capabilities.drop
POD.containers.volumeMounts POD.containers.volumeMounts.name POD.containers.volumeMounts.mountPath
POD.volumes POD.volumes.name POD.volumes.persistentVolumeClaim POD.volumes.persistentVolumeClaim.claimName";

#[test]
fn the_jobs_have_what_kubernetes_wants_and_nothing_that_it_does_not_know() {
    let known = KNOWN.replace("POD.", "spec.template.spec.");
    let known: BTreeSet<&str> = known.split_whitespace().collect();
    for name in ["job.yaml", "merge.yaml"] {
        let job = document(name);
        let mut found = BTreeSet::new();
        keys(&job, "", &mut found);
        let unknown: Vec<&String> = found.iter().filter(|key| !known.contains(key.as_str())).collect();
        assert!(unknown.is_empty(), "{name}: {unknown:?}");
        assert_eq!((&job["apiVersion"], &job["kind"]), (&"batch/v1".into(), &"Job".into()));
        let pod = &job["spec"]["template"]["spec"];
        // Of a Job only these two are allowed, and with a podFailurePolicy only the first.
        assert_eq!(pod["restartPolicy"], "Never");
        let names = |list: &Value| -> Vec<String> {
            list.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
        };
        let [container] = pod["containers"].as_array().unwrap().as_slice() else { panic!("{name}: one container") };
        assert_eq!(names(&container["volumeMounts"]), names(&pod["volumes"]));
        for label in [&job["metadata"]["name"], &container["name"], &pod["volumes"][0]["name"]] {
            let label = label.as_str().unwrap();
            assert!(label.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') && label.len() < 64, "{label}");
        }
        for amount in ["requests", "limits"].map(|kind| &container["resources"][kind]["memory"]) {
            assert!(amount.as_str().unwrap().ends_with('i'), "{name}: {amount}");
        }
    }
}

#[test]
fn the_indexed_job_counts_its_shards_as_it_counts_its_pods() {
    let job = document("job.yaml");
    let spec = &job["spec"];
    assert_eq!(spec["completionMode"], "Indexed");
    let completions = spec["completions"].as_u64().unwrap();
    assert!(spec["parallelism"].as_u64().unwrap() <= completions);
    let container = &spec["template"]["spec"]["containers"][0];
    let [variable] = container["env"].as_array().unwrap().as_slice() else { panic!("one variable") };
    assert_eq!(variable["name"], "IBWRT_SHARD_COUNT");
    // Values of variables are text; a number would be refused.
    assert_eq!(variable["value"], Value::String(completions.to_string()));
    let rules = spec["podFailurePolicy"]["rules"].as_array().unwrap();
    for rule in rules {
        // FailIndex needs a limit per index; codes must be ascending, and 0 is not among them.
        assert!(rule["action"] != "FailIndex" || spec["backoffLimitPerIndex"].is_u64());
        let kinds = ["onExitCodes", "onPodConditions"].map(|kind| rule.get(kind).is_some());
        assert_eq!(kinds.iter().filter(|is_there| **is_there).count(), 1, "{rule}");
        if let Some(codes) = rule.get("onExitCodes") {
            assert_eq!((&codes["operator"], &codes["containerName"]), (&"In".into(), &container["name"]));
            let values: Vec<u64> =
                codes["values"].as_array().unwrap().iter().map(|value| value.as_u64().unwrap()).collect();
            assert!(values.is_sorted_by(|a, b| a < b) && !values.contains(&0), "{values:?}");
        }
    }
}

/// Runs the container of `job` with `site` as its volume.
fn pod(site: &Path, job: &Value, index: Option<u64>) -> Ran {
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    let words = container["command"].as_array().unwrap().iter().map(|word| word.as_str().unwrap());
    let words = words.map(|word| {
        let (option, path) = word.split_once("/work/").unwrap_or((word, ""));
        let path = match path {
            "" => return word.to_owned(),
            "image.img.gz" => fixture(IMAGE),
            "modules" => fixture_modules(),
            other => site.join(other),
        };
        format!("{option}{}", path.display())
    });
    let words: Vec<String> = words.collect();
    assert_eq!(words[0], "/usr/bin/ibwrt");
    let mut command = ibwrt_command(site);
    for variable in container["env"].as_array().into_iter().flatten() {
        command.env(variable["name"].as_str().unwrap(), variable["value"].as_str().unwrap());
    }
    if let Some(index) = index {
        command.env("JOB_COMPLETION_INDEX", index.to_string());
    }
    run(command.args(&words[1..]))
}

#[test]
fn the_pods_of_both_jobs_make_what_one_run_makes_byte_for_byte() {
    let site = site(5);
    batch(site.path(), IMAGE, &["-o", "whole"]).expect_status(0);
    let job = document("job.yaml");
    for index in 0..job["spec"]["completions"].as_u64().unwrap() {
        let ran = pod(site.path(), &job, Some(index)).expect_status(0);
        assert!(ran.says(&format!("shard {} of 4: {} of 5 hosts", index + 1, if index == 0 { 2 } else { 1 })), "{ran}");
    }
    pod(site.path(), &document("merge.yaml"), None).expect_status(0);
    let made = contents(&site.path().join("images")).into_iter().filter(|(name, _)| !name.contains("-of-"));
    assert_eq!(made.collect::<Vec<_>>(), contents(&site.path().join("whole")));
}
