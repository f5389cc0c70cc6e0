//! The state of pods as their objects show it: ready, waiting for a reason, restarted.

use k8s_openapi::api::core::v1::{ContainerStatus, Event, Pod};
use kube::{Resource, ResourceExt};
use std::time::Duration;

/// The interval between two requests for something that has no event.
pub(super) const POLL: Duration = Duration::from_millis(250);

/// Reasons of a waiting container that no time mends: the image is not there.
const NO_IMAGE: [&str; 4] = ["ErrImageNeverPull", "ImageInspectError", "ImagePullBackOff", "InvalidImageName"];

/// Whether a pod's condition says that it is ready.
pub(super) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Whether a pod is being deleted.
pub(super) fn is_ending(pod: &Pod) -> bool {
    pod.meta().deletion_timestamp.is_some()
}

/// How often the pod's containers were started again.
pub(super) fn restarts(pod: &Pod) -> i32 {
    containers(pod).map(|container| container.restart_count).sum()
}

/// The reason why a pod can never start, if its image cannot be had.
pub(super) fn image_error(pod: &Pod) -> Option<String> {
    let waiting = |container: &ContainerStatus| {
        let waiting = container.state.as_ref()?.waiting.clone()?;
        let reason = waiting.reason.filter(|reason| NO_IMAGE.contains(&reason.as_str()))?;
        let message = waiting.message.unwrap_or_default();
        Some(format!("{}: {reason} {} {message}", pod.name_any(), container.image).trim_end().to_owned())
    };
    containers(pod).find_map(waiting)
}

/// A line about a pod: its phase, and for each container why it waits or how it ended last.
pub(super) fn describe(pod: &Pod) -> String {
    let phase = pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
    let mut line = format!("pod {}: {phase}", pod.name_any());
    line.push_str(if is_ending(pod) { ", being deleted" } else { "" });
    line.push_str(if is_ready(pod) { ", ready" } else { ", not ready" });
    for container in containers(pod) {
        line.push_str(&format!("; container {}, {} restarts", container.name, container.restart_count));
        let state = container.state.as_ref();
        if let Some(waiting) = state.and_then(|state| state.waiting.as_ref()) {
            let text = [&waiting.reason, &waiting.message].into_iter().flatten().cloned().collect::<Vec<_>>();
            line.push_str(&format!(", waiting: {}", text.join(" ")));
        }
        let last = container.last_state.as_ref();
        for ended in [state, last].into_iter().flatten().filter_map(|state| state.terminated.as_ref()) {
            let message = ended.message.as_deref().unwrap_or_default().trim();
            line.push_str(&format!(", ended with exit code {}: {message}", ended.exit_code));
        }
    }
    line
}

/// A line about a warning; `None` for events of other types.
pub(super) fn warning(event: &Event) -> Option<String> {
    if event.type_.as_deref() != Some("Warning") {
        return None;
    }
    let object = &event.involved_object;
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let (kind, name, reason) = (text(&object.kind), text(&object.name), text(&event.reason));
    Some(format!("{kind} {name}: {reason}: {}", text(&event.message).trim()))
}

fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.iter();
    status.flat_map(|status| status.init_container_statuses.iter().chain(&status.container_statuses).flatten())
}
