"""
Rows of the kinds whose pods are to end: jobs, which have a controller, and cron jobs, which are stored and served.

The checks are those of Kubernetes 1.37 (pkg/apis/batch/validation), as far as one of them can be broken by hand.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.kinds.pods import check_template, containers, default_template
from chaosfw.sandbox.kinds.row import AGE, NAME, Cause, Column, Kind, duplicate, invalid, items, read, required, text, unsupported
from chaosfw.sandbox.kinds.workloads import CONTAINERS, IMAGES, SELECTOR, names_pods
from chaosfw.sandbox.objects import moments, selectors
from chaosfw.sandbox.objects.names import DNS_LABEL

UID_LABELS: Final = ("controller-uid", "batch.kubernetes.io/controller-uid")
NAME_LABELS: Final = ("job-name", "batch.kubernetes.io/job-name")
_NUMBERS = (
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
)
_MODES = ("NonIndexed", "Indexed")
_REPLACEMENTS = ("Failed", "TerminatingOrFailed")
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_SUCCESS = ("SucceededIndexes", "SucceededCount")
_NO_LIMIT = 2**31 - 1
_CONCURRENCY = ("Allow", "Forbid", "Replace")
_LONGEST_CRON = 52
"""Characters: eleven more make the name of a job."""
_MOST_PARALLEL = 100_000
_ENDINGS = ("Complete", "Failed", "FailureTarget", "SuccessCriteriaMet")


# --- what a new one gets


def _default_job(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", _NO_LIMIT if "backoffLimitPerIndex" in spec else 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("podReplacementPolicy", "Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed")
    spec.setdefault("manualSelector", False)
    template = spec.setdefault("template", {})
    default_template(template)
    if template["metadata"].get("labels") and not obj["metadata"].get("labels"):
        obj["metadata"]["labels"] = template["metadata"]["labels"]  # one map of both: the job gets what its template gets
    for condition in items(obj, "status.conditions"):
        condition.setdefault("lastProbeTime", None)
        condition.setdefault("lastTransitionTime", None)
    _default_patterns(spec)


def _default_patterns(spec: Object) -> None:
    for rule in items(spec, "podFailurePolicy.rules"):
        for pattern in rule.get("onPodConditions") or ():
            pattern.setdefault("status", "True")


def _born_job(job: Object) -> None:
    """A selector of its own, by its uid, and labels for it, unless its author wants none."""
    job["status"] = {}
    spec, metadata = job["spec"], job["metadata"]
    if spec["manualSelector"]:
        return
    labels = spec["template"]["metadata"].setdefault("labels", {})
    given = {**dict.fromkeys(NAME_LABELS, metadata.get("name", "")), **dict.fromkeys(UID_LABELS, metadata["uid"])}
    labels.update({key: value for key, value in given.items() if key not in labels})
    selector = spec.setdefault("selector", {})
    selector["matchLabels"] = {UID_LABELS[1]: metadata["uid"], **(selector.get("matchLabels") or {})}


def _default_cron_job(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("concurrencyPolicy", "Allow")
    spec.setdefault("suspend", False)
    spec.setdefault("successfulJobsHistoryLimit", 3)
    spec.setdefault("failedJobsHistoryLimit", 1)
    job = spec.setdefault("jobTemplate", {})
    job.setdefault("metadata", {})
    default_template(job.setdefault("spec", {}).setdefault("template", {}))
    _default_patterns(job["spec"])


# --- checks


def _check_job(new: Object, old: Object | None) -> list[Cause]:
    spec = new["spec"]
    causes = _check_generated(new) if old is None else []
    causes += check_job_spec(spec, "spec")
    selector = spec.get("selector")
    parsed = selectors.of_object(selector)
    labels = read(spec, "template.metadata.labels", {})
    if selector is None:
        causes.append(required("spec.selector"))
    if parsed is None or not parsed.matches(labels):
        words = f"Invalid value: {_json(labels or None)}: `selector` does not match template `labels`"
        causes.append(Cause("FieldValueInvalid", "spec.template.metadata.labels", words))
    return [*causes, *(_check_change(new, old) if old is not None else ()), *_check_host_names(new)]


def _check_host_names(job: Object) -> list[Cause]:
    """Pods of an indexed job are named after it and their index."""
    name, completions = job["metadata"].get("name", ""), job["spec"].get("completions") or 0
    longest = f"{name}-{completions - 1}"
    if job["spec"].get("completionMode") != "Indexed" or completions <= 0 or (len(longest) < 64 and DNS_LABEL.match(longest)):
        return []
    return [invalid("metadata.name", name, f"will not able to create pod with invalid DNS label: {longest}")]


def _check_generated(job: Object) -> list[Cause]:
    spec, metadata = job["spec"], job["metadata"]
    if spec["manualSelector"] or "selector" not in spec:
        return []
    name = metadata.get("name", "")
    wanted = {UID_LABELS[0]: metadata["uid"], NAME_LABELS[0]: name, UID_LABELS[1]: metadata["uid"], NAME_LABELS[1]: name}
    labels = read(spec, "template.metadata.labels", {})
    path = "spec.template.metadata.labels"
    causes = [
        Cause("FieldValueInvalid", f"{path}[{key}]", f"Invalid value: {_json(labels)}: must be '{value}'")
        for key, value in wanted.items()
        if labels.get(key) != value
    ]
    parsed = selectors.of_object(spec["selector"])
    if parsed is not None and not parsed.matches(wanted):
        shown = _json(spec["selector"])
        causes.append(Cause("FieldValueInvalid", "spec.selector", f"Invalid value: {shown}: `selector` not auto-generated"))
    return causes


def check_job_spec(spec: Object, path: str) -> list[Cause]:
    causes = [invalid(f"{path}.{name}", spec[name], "must be greater than or equal to 0") for name in _NUMBERS if (spec.get(name) or 0) < 0]
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        causes.append(required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified"))
    causes += _check_mode(spec, path)
    causes += _check_failure_policy(spec, f"{path}.podFailurePolicy")
    if "successPolicy" in spec and spec.get("completionMode") != "Indexed":
        rules = [{name: one.get(name[0].lower() + name[1:]) for name in _SUCCESS} for one in spec["successPolicy"].get("rules") or ()]
        shown = json.dumps({"Rules": rules or None}, separators=(",", ":"))
        causes.append(Cause("FieldValueInvalid", f"{path}.successPolicy", f"Invalid value: {shown}: requires indexed completion mode"))
    elif "successPolicy" in spec and not spec["successPolicy"].get("rules"):
        words = "at least one rules must be specified when the successPolicy is specified"
        causes.append(required(f"{path}.successPolicy.rules", words))
    allowed = _REPLACEMENTS[:1] if "podFailurePolicy" in spec else _REPLACEMENTS
    if spec.get("podReplacementPolicy", allowed[0]) not in allowed:
        causes.append(unsupported(f"{path}.podReplacementPolicy", spec["podReplacementPolicy"], allowed))
    pod = read(spec, "template.spec", {})
    causes += check_template(spec.get("template") or {}, f"{path}.template")
    if pod.get("restartPolicy") == "Always":
        causes.append(required(f"{path}.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"'))
    elif pod.get("restartPolicy") not in ("OnFailure", "Never"):
        causes.append(unsupported(f"{path}.template.spec.restartPolicy", pod.get("restartPolicy"), ("OnFailure", "Never")))
    elif "podFailurePolicy" in spec and pod.get("restartPolicy") != "Never":
        words = 'only "Never" is supported when podFailurePolicy is specified'
        causes.append(invalid(f"{path}.template.spec.restartPolicy", pod.get("restartPolicy"), words))
    return causes


def _check_mode(spec: Object, path: str) -> list[Cause]:
    mode = spec.get("completionMode", "NonIndexed")
    if mode not in _MODES:
        return [unsupported(f"{path}.completionMode", mode, _MODES)]
    if mode == "NonIndexed":
        only_indexed = [name for name in ("backoffLimitPerIndex", "maxFailedIndexes") if spec.get(name) is not None]
        return [invalid(f"{path}.{name}", spec[name], "requires indexed completion mode") for name in only_indexed]
    causes = []
    if spec.get("completions") is None:
        causes.append(required(f"{path}.completions", "when completion mode is Indexed"))
    if (parallel := spec.get("parallelism", 0)) > _MOST_PARALLEL:
        words = f"must be less than or equal to {_MOST_PARALLEL} when completion mode is Indexed"
        causes.append(invalid(f"{path}.parallelism", parallel, words))
    if (most := spec.get("maxFailedIndexes")) is not None and spec.get("completions") is not None and most > spec["completions"]:
        causes.append(invalid(f"{path}.maxFailedIndexes", most, "must be less than or equal to completions"))
    return causes


def _check_failure_policy(spec: Object, path: str) -> list[Cause]:
    names = {one.get("name") for one in containers(read(spec, "template.spec", {}))}
    causes: list[Cause] = []
    for number, rule in enumerate(items(spec, "podFailurePolicy.rules")):
        here = f"{path}.rules[{number}]"
        action = rule.get("action", "")
        if action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
            causes.append(invalid(f"{here}.action", action, "requires the backoffLimitPerIndex to be set"))
        elif action not in _ACTIONS:
            causes.append(unsupported(f"{here}.action", action, _ACTIONS))
        codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions")
        if codes is not None:
            causes += _check_exit_codes(codes, f"{here}.onExitCodes", names)
        if bool(codes) is bool(conditions):
            words = "specifying both OnExitCodes and OnPodConditions is not supported"
            none = "specifying one of OnExitCodes and OnPodConditions is required"
            causes.append(Cause("FieldValueInvalid", here, f"Invalid value: {words if codes else none}"))
    return causes


def _check_exit_codes(wanted: Object, path: str, names: set[Any]) -> list[Cause]:
    causes: list[Cause] = []
    if wanted.get("operator") not in ("In", "NotIn"):
        causes.append(unsupported(f"{path}.operator", wanted.get("operator", ""), ("In", "NotIn")))
    if wanted.get("containerName") is not None and wanted["containerName"] not in names:
        words = "must be one of the container or initContainer names in the pod template"
        causes.append(invalid(f"{path}.containerName", wanted["containerName"], words))
    values = wanted.get("values") or []
    if not values:
        causes.append(Cause("FieldValueInvalid", f"{path}.values", "Invalid value: []: at least one value is required"))
    for number, code in enumerate(values):
        if wanted.get("operator") == "In" and code == 0:
            causes.append(invalid(f"{path}.values[{number}]", code, "must not be 0 for the In operator"))
        if code in values[:number]:
            causes.append(duplicate(f"{path}.values[{number}]", code))
    if values != sorted(values):
        causes.append(Cause("FieldValueInvalid", f"{path}.values", f"Invalid value: {_json(values)}: must be ordered"))
    return causes


def _check_change(new: Object, old: Object) -> list[Cause]:
    """What may not change any more: of an indexed job completions may, together with its parallelism."""
    spec, before = new["spec"], old["spec"]
    fixed = ["selector", "template", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"]
    causes = []
    if spec.get("completions") != before.get("completions"):
        if spec.get("completionMode") != "Indexed":
            fixed.insert(0, "completions")
        elif spec.get("completions") is not None and spec["completions"] != spec["parallelism"]:
            words = "can only be modified in tandem with spec.parallelism"
            causes.append(invalid("spec.completions", spec["completions"], words))
    for name in fixed:
        was = _loosened(spec, old) if name == "template" else before.get(name)
        if spec.get(name) != was:
            shown = _json(spec.get(name))
            causes.append(Cause("FieldValueInvalid", f"spec.{name}", f"Invalid value: {shown}: field is immutable"))
    return causes


def _loosened(spec: Object, old: Object) -> Object:
    """The template that was, with what may change while nothing runs: where its pods go, and what they take."""
    template = json.loads(json.dumps(old["spec"]["template"]))
    halted = any(one["type"] == "Suspended" and one["status"] == "True" for one in items(old, "status.conditions"))
    untouched = read(old, "status.startTime") is None or halted
    if not (old["spec"].get("suspend") and untouched and not read(old, "status.active", 0)):
        return dict(template)
    now = spec["template"]
    for part in ("labels", "annotations"):
        _take(template["metadata"], now["metadata"], part)
    for part in ("nodeSelector", "tolerations", "schedulingGates"):
        _take(template["spec"], now["spec"], part)
    affinity = {**(template["spec"].get("affinity") or {})}
    _take(affinity, now["spec"].get("affinity") or {}, "nodeAffinity")
    template["spec"].pop("affinity", None)
    if affinity or now["spec"].get("affinity"):
        template["spec"]["affinity"] = affinity
    for part in ("containers", "initContainers"):
        for was, becomes in zip(template["spec"].get(part) or (), now["spec"].get(part) or (), strict=False):
            _take(was, becomes, "resources")
    return dict(template)


def _take(into: dict[str, Any], source: Mapping[str, Any], name: str) -> None:
    into.pop(name, None)
    if name in source:
        into[name] = source[name]


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _check_cron_job(new: Object, old: Object | None) -> list[Cause]:
    spec, name = new["spec"], new["metadata"].get("name", "")
    job, causes = spec["jobTemplate"]["spec"], []
    if spec["concurrencyPolicy"] not in _CONCURRENCY:
        causes.append(unsupported("spec.concurrencyPolicy", spec["concurrencyPolicy"], _CONCURRENCY))
    causes += check_job_spec(job, "spec.jobTemplate.spec")
    if "selector" in job:
        words = f"Invalid value: {_json(job['selector'])}: `selector` will be auto-generated"
        causes.append(Cause("FieldValueInvalid", "spec.jobTemplate.spec.selector", words))
    if job.get("manualSelector"):
        causes.append(unsupported("spec.jobTemplate.spec.manualSelector", True, ("nil", "false")))
    limits = ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit")
    causes += [invalid(f"spec.{one}", spec[one], "must be greater than or equal to 0") for one in limits if (spec.get(one) or 0) < 0]
    if old is None and len(name) > _LONGEST_CRON:
        causes.append(invalid("metadata.name", name, f"must be no more than {_LONGEST_CRON} characters"))
    return causes if spec.get("schedule") else [*causes, required("spec.schedule")]


# --- status


def _check_job_status(new: Object, old: Object) -> list[Cause]:
    """A job that has ended does not begin again, and counts do not go back."""
    now, before = new.get("status") or {}, old.get("status") or {}
    true = {one["type"] for one in now.get("conditions") or () if one.get("status") == "True"}
    was = {one["type"] for one in before.get("conditions") or () if one.get("status") == "True"}
    causes = []

    def refuse(field: str, words: str) -> None:
        causes.append(Cause("FieldValueInvalid", f"status.{field}", f"Invalid value: {words}"))

    if "Complete" in true - was and "SuccessCriteriaMet" not in true:
        refuse("conditions", "cannot set Complete=True condition without the SuccessCriteriaMet=true condition")
    if "Failed" in true - was and "FailureTarget" not in true:
        refuse("conditions", "cannot set Failed=True condition without the FailureTarget=true condition")
    if {"Complete", "Failed"} <= true:
        refuse("conditions", "cannot set Complete=True and Failed=true conditions")
    for kind in _ENDINGS:
        if kind in was - true:
            the = "" if kind == "SuccessCriteriaMet" else "terminal "
            refuse("conditions", f"cannot disable the {the}{kind}=True condition")
    for name in ("failed", "succeeded"):
        elastic = name == "succeeded" and new["spec"].get("completions") == new["spec"].get("parallelism")
        if now.get(name, 0) < before.get(name, 0) and not (elastic and new["spec"].get("completionMode") == "Indexed"):
            refuse(name, f"{now.get(name, 0)}: cannot decrease the {name} counter")
    if now.get("ready", 0) > now.get("active", 0):
        refuse("ready", f"{now['ready']}: cannot set more ready pods than active")
    return causes


# --- how they are shown


def _state(obj: Object, now: float) -> str:
    true = {one["type"] for one in items(obj, "status.conditions") if one["status"] == "True"}
    going = ("Terminating",) if obj["metadata"].get("deletionTimestamp") else ()
    words = (*(kind for kind in ("Complete", "Failed") if kind in true), *going)
    return next(iter((*words, *(kind for kind in ("Suspended", "FailureTarget", "SuccessCriteriaMet") if kind in true))), "Running")


def _completions(obj: Object, now: float) -> str:
    done, spec = read(obj, "status.succeeded", 0), obj.get("spec") or {}
    if spec.get("completions") is not None:
        return f"{done}/{spec['completions']}"
    return f"{done}/1 of {spec['parallelism']}" if spec.get("parallelism", 0) > 1 else f"{done}/1"


def _duration(obj: Object, now: float) -> str:
    began, ended = read(obj, "status.startTime"), read(obj, "status.completionTime")
    return moments.age(began, moments.parse(ended) if ended else now) if began else ""


def _of_template(path: str, name: str) -> Column:
    def cell(obj: Object, now: float) -> str:
        return ",".join(one.get(path, "") for one in items(obj, "spec.jobTemplate.spec.template.spec.containers"))

    return Column(name, cell, wide=True)


def _last(obj: Object, now: float) -> str:
    at = read(obj, "status.lastScheduleTime")
    return moments.age(at, now) if at else "<none>"


JOB = Kind(
    kind="Job",
    plural="jobs",
    group="batch",
    categories=("all",),
    columns=(
        NAME,
        Column("Status", _state),
        Column("Completions", _completions),
        Column("Duration", _duration),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ),
    fields={"status.successful": "status.succeeded"},
    no_such_field='field label "{}" not supported for Job',
    has_generation=True,
    warns=names_pods,
    defaults=_default_job,
    born=_born_job,
    validate=_check_job,
    validate_status=_check_job_status,
    orphans="child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set "
    "propagationPolicy=Orphan to suppress this warning",
)

CRON_JOB = Kind(
    kind="CronJob",
    plural="cronjobs",
    group="batch",
    short=("cj",),
    categories=("all",),
    columns=(
        NAME,
        Column("Schedule", text("spec.schedule")),
        Column("Timezone", text("spec.timeZone", absent="<none>")),
        Column("Suspend", lambda obj, now: str(read(obj, "spec.suspend", False)), type="boolean"),
        Column("Active", lambda obj, now: len(read(obj, "status.active", ())), type="integer"),
        Column("Last Schedule", _last),
        AGE,
        _of_template("name", "Containers"),
        _of_template("image", "Images"),
        Column("Selector", lambda obj, now: selectors.format_object(read(obj, "spec.jobTemplate.spec.selector")) or "<none>", wide=True),
    ),
    has_generation=True,
    defaults=_default_cron_job,
    born=lambda obj: obj.update(status={}),
    warns=names_pods,
    validate=_check_cron_job,
)
