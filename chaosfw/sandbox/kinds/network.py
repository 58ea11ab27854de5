"""
Rows of services and of what they are made of: endpoints, endpoint slices, ingresses, network policies.
"""

from __future__ import annotations

import json

from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.kinds.row import (
    AGE,
    NAME,
    PROXIED,
    Cause,
    Column,
    Kind,
    Subresource,
    duplicate,
    invalid,
    items,
    read,
    required,
    text,
    unsupported,
)
from chaosfw.sandbox.objects import selectors

_SHOWN = 3
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_SERVICE_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")


def _default_service(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    for port in spec.get("ports") or ():
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))
    if spec["type"] == "ExternalName":
        return
    spec.setdefault("internalTrafficPolicy", "Cluster")
    if spec["type"] in ("NodePort", "LoadBalancer"):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)


def _assign_families(obj: Object) -> None:
    spec = obj["spec"]
    if spec["type"] == "ExternalName":
        return
    headless = spec.get("clusterIP") == "None" and not spec.get("selector")
    spec.setdefault("ipFamilies", ["IPv4", "IPv6"] if headless else ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "RequireDualStack" if headless else "SingleStack")


def _born_service(obj: Object) -> None:
    obj["status"] = {"loadBalancer": {}}


def _check_service(new: Object, old: Object | None) -> list[Cause]:
    spec = new["spec"]
    if old is not None and (causes := _check_families(spec)):
        return causes
    causes = _check_address(spec, old)
    ports = spec.get("ports") or []
    if not ports and spec["type"] != "ExternalName" and spec.get("clusterIP") != "None":
        causes.append(required("spec.ports"))
    for index, port in enumerate(ports):
        if len(ports) > 1 and not port.get("name"):
            causes.append(required(f"spec.ports[{index}].name"))
        if not 0 < port.get("port", 0) < 65536:
            causes.append(invalid(f"spec.ports[{index}].port", port.get("port", 0), "must be between 1 and 65535, inclusive"))
        if port["protocol"] not in _PROTOCOLS:
            causes.append(unsupported(f"spec.ports[{index}].protocol", port["protocol"], _PROTOCOLS))
        if isinstance(target := port.get("targetPort"), int) and not 0 < target < 65536:
            causes.append(invalid(f"spec.ports[{index}].targetPort", target, "must be between 1 and 65535, inclusive"))
    if spec["type"] not in _SERVICE_TYPES:
        causes.append(unsupported("spec.type", spec["type"], _SERVICE_TYPES))
    return [*causes, *_check_twice(ports)]


def _check_address(spec: Object, old: Object | None) -> list[Cause]:
    causes = []
    before, now = old["spec"].get("clusterIP") if old is not None else None, spec.get("clusterIP")
    if before and before != now:
        causes.append(Cause("FieldValueInvalid", "spec.clusterIPs[0]", f"Invalid value: {json.dumps([now])}: may not change once set"))
    if now == "None" and spec["type"] in ("NodePort", "LoadBalancer"):
        causes.append(invalid("spec.clusterIPs[0]", now, f"may not be set to 'None' for {spec['type']} services"))
    return causes


def _check_families(spec: Object) -> list[Cause]:
    """Two families are the real one's own default for a headless Service without a selector, and refused as soon as it has one."""
    if spec["type"] == "ExternalName" or (spec.get("clusterIP") == "None" and not spec.get("selector")):
        return []
    if "IPv6" not in spec.get("ipFamilies", ()):
        return []
    dual = invalid("spec.ipFamilyPolicy", "RequireDualStack", "this cluster is not configured for dual-stack services")
    return [dual, invalid("spec.ipFamilies[1]", "IPv6", "not configured on this cluster")]


def _check_twice(ports: list[Object]) -> list[Cause]:
    causes, seen, open_at = [], set(), set()
    for index, port in enumerate(ports):
        if port.get("nodePort") and (one := (port["protocol"], port["nodePort"])) in open_at:
            causes.append(duplicate(f"spec.ports[{index}].nodePort", port["nodePort"]))
        elif port.get("nodePort"):
            open_at.add(one)
    for index, port in enumerate(ports):
        if (key := (port["protocol"], port.get("port"))) in seen:
            told = {"Name": "", "Protocol": key[0], "AppProtocol": None, "Port": key[1], "TargetPort": 0, "NodePort": 0}
            shown = json.dumps(told, separators=(",", ":"))
            causes.append(Cause("FieldValueDuplicate", f"spec.ports[{index}]", f"Duplicate value: {shown}"))
        seen.add(key)
    return causes


def _ports(obj: Object, now: float) -> str:
    shown = []
    for port in items(obj, "spec.ports"):
        node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
        shown.append(f"{port['port']}{node_port}/{port['protocol']}")
    return ",".join(shown) or "<none>"


def _external(obj: Object, now: float) -> str:
    kind = read(obj, "spec.type")
    if kind == "ExternalName":
        return str(read(obj, "spec.externalName", ""))
    balanced = [entry.get("ip") or entry.get("hostname") for entry in items(obj, "status.loadBalancer.ingress")]
    addresses = [*filter(None, balanced), *read(obj, "spec.externalIPs", ())]
    return ",".join(addresses) or ("<pending>" if kind == "LoadBalancer" else "<none>")


def _some(values: list[str]) -> str:
    more = f" + {len(values) - _SHOWN} more..." if len(values) > _SHOWN else ""
    return ",".join(values[:_SHOWN]) + more if values else "<none>"


def _endpoints(obj: Object, now: float) -> str:
    shown = []
    for subset in items(obj, "subsets"):
        for address in items(subset, "addresses"):
            shown += [f"{address['ip']}:{port['port']}" for port in subset.get("ports") or ()] or [address["ip"]]
    return _some(shown)


def _slice_ports(obj: Object, now: float) -> str:
    ports = [str(port.get("port", "*")) for port in items(obj, "ports")]
    return _some(ports) if ports else "<unset>"


def _slice_endpoints(obj: Object, now: float) -> str:
    addresses = [address for endpoint in items(obj, "endpoints") for address in endpoint.get("addresses", ())]
    return _some(addresses) if addresses else "<unset>"


def _default_endpoints(obj: Object) -> None:
    for subset in obj.get("subsets") or ():
        for port in subset.get("ports") or ():
            port.setdefault("protocol", "TCP")


def _default_slice(obj: Object) -> None:
    for port in obj.get("ports") or ():
        port.setdefault("name", "")
        port.setdefault("protocol", "TCP")
    for field in ("endpoints", "ports"):
        obj.setdefault(field, None)


def _check_slice(new: Object, old: Object | None) -> list[Cause]:
    causes = [] if new.get("addressType") else [required("addressType")]
    for index, endpoint in enumerate(new.get("endpoints") or ()):
        for place, address in enumerate(endpoint.get("addresses") or ()):
            if address.startswith("127."):
                detail = "may not be in the loopback range (127.0.0.0/8, ::1/128)"
                causes.append(invalid(f"endpoints[{index}].addresses[{place}]", address, detail))
    return causes


def _default_policy(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("podSelector", {})
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if "egress" in spec else ["Ingress"]
    for rule in [*(spec.get("ingress") or ()), *(spec.get("egress") or ())]:
        for port in (rule or {}).get("ports") or ():
            port.setdefault("protocol", "TCP")


def _hosts(obj: Object, now: float) -> str:
    hosts = [rule["host"] for rule in items(obj, "spec.rules") if rule.get("host")]
    return ",".join(hosts) or "*"


def _ingress_address(obj: Object, now: float) -> str:
    return ",".join(entry.get("ip") or entry.get("hostname", "") for entry in items(obj, "status.loadBalancer.ingress"))


SERVICE = Kind(
    kind="Service",
    plural="services",
    short=("svc",),
    categories=("all",),
    columns=(
        NAME,
        Column("Type", text("spec.type")),
        Column("Cluster-IP", text("spec.clusterIP", absent="<none>")),
        Column("External-IP", _external),
        Column("Port(s)", _ports),
        AGE,
        Column("Selector", lambda obj, now: selectors.format_labels(read(obj, "spec.selector", {})) or "<none>", wide=True),
    ),
    fields={"spec.clusterIP": "spec.clusterIP", "spec.type": "spec.type"},
    subresources=(Subresource("proxy", "ServiceProxyOptions", PROXIED, "", "v1"),),
    defaults=_default_service,
    assigns=_assign_families,
    born=_born_service,
    validate=_check_service,
    made_by_update=True,
    name_limit=63,
    name_is_label=True,
    answers_deleted_object=True,
)

ENDPOINTS = Kind(
    kind="Endpoints",
    plural="endpoints",
    short=("ep",),
    columns=(NAME, Column("Endpoints", _endpoints), AGE),
    has_status=False,
    made_by_update=True,
    defaults=_default_endpoints,
)

ENDPOINT_SLICE = Kind(
    kind="EndpointSlice",
    plural="endpointslices",
    group="discovery.k8s.io",
    columns=(
        NAME,
        Column("AddressType", text("addressType")),
        Column("Ports", _slice_ports),
        Column("Endpoints", _slice_endpoints),
        AGE,
    ),
    has_status=False,
    has_generation=True,
    defaults=_default_slice,
    validate=_check_slice,
    immutable=("addressType",),
)

INGRESS = Kind(
    kind="Ingress",
    plural="ingresses",
    group="networking.k8s.io",
    short=("ing",),
    columns=(
        NAME,
        Column("Class", text("spec.ingressClassName", absent="<none>")),
        Column("Hosts", _hosts),
        Column("Address", _ingress_address),
        Column("Ports", lambda obj, now: "80, 443" if read(obj, "spec.tls") else "80"),
        AGE,
    ),
    has_generation=True,
    born=_born_service,
)

INGRESS_CLASS = Kind(
    kind="IngressClass",
    plural="ingressclasses",
    group="networking.k8s.io",
    namespaced=False,
    columns=(NAME, Column("Controller", text("spec.controller")), Column("Parameters", text("spec.parameters.name", absent="<none>")), AGE),
    has_status=False,
    has_generation=True,
    immutable=("spec.controller",),
)

NETWORK_POLICY = Kind(
    kind="NetworkPolicy",
    plural="networkpolicies",
    group="networking.k8s.io",
    short=("netpol",),
    columns=(NAME, Column("Pod-Selector", lambda obj, now: selectors.format_object(read(obj, "spec.podSelector")) or "<none>"), AGE),
    has_status=False,
    has_generation=True,
    defaults=_default_policy,
)
