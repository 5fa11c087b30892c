"""Lists the names that the platform writes on objects: labels, annotations, finalizers and namespaces."""

from collections.abc import Mapping

from pincompute.api.meta import GROUP

PROJECT = f"{GROUP}/project"  # on namespaces: the project they are
PROJECT_UID = f"{GROUP}/project-uid"  # on namespaces of projects and what the platform keeps in them: uid of the Project
APP = f"{GROUP}/app"  # on pods: name of the workload they belong to
WORKLOAD = f"{GROUP}/workload"  # on pods: kind of that workload, PinApp or PinPod
REVISION = f"{GROUP}/revision"  # on pods: hash of the whole template
TIER = f"{GROUP}/tier"
ZONE = f"{GROUP}/zone"
CLUSTER = f"{GROUP}/cluster"
SHARD_UID = f"{GROUP}/shard-uid"  # on pods: uid of the shard that made them
IMAGE_PULL_SHARD_UID = f"{GROUP}/image-pull-shard-uid"  # on pods that only pull images: uid of the shard whose pods run them
ORIGIN_UID = f"{GROUP}/origin-uid"  # on shards and pods: uid of the host object
POD_SECURITY = "pod-security.kubernetes.io/enforce"  # on namespaces: level of the Pod Security Standards that pods must keep
POD_SECURITY_VERSION = f"{POD_SECURITY}-version"
MANAGED_BY = "app.kubernetes.io/managed-by"
PINCOMPUTE = "pincompute"  # value of MANAGED_BY on everything the platform made

ORDINAL = f"{GROUP}/ordinal"  # annotation on pods: which replica of its shard
SHAPE = f"{GROUP}/shape"  # annotation on pods: hash of everything an in-place update cannot change
IN_PLACE = f"{GROUP}/in-place-update"  # annotation on pods: JSON, container -> id and image of the container it replaces
TEMPLATE_KEYS = f"{GROUP}/template-keys"  # annotation on pods: JSON, labels and annotations that came from the template
SIDECARS = f"{GROUP}/sidecars"  # annotation on templates: names of the PinSidecars that its pods get, with commas between them
INJECTED = f"{GROUP}/injected"  # annotation on pods: JSON, sidecar -> the version that is injected, and what it waits for
TRANSCRIPTS = f"{GROUP}/transcripts"  # annotation on projects: "true" records what its shells show
CHANGE_CAUSE = "kubernetes.io/change-cause"  # annotation on workloads: a note of what the present template is for
OPERATIONS = f"{GROUP}/operations"  # annotation on workloads: JSON, the last operations, who asked for each and why
CREATED_BY = f"{GROUP}/created-by"  # annotation on projects: the user who created it; the gateway counts a user's projects
FORMER_IMAGES = (
    f"{GROUP}/former-images"  # annotation on projects by an earlier version: images of a former project of the name may exist
)
IDEMPOTENCY = f"{GROUP}/idempotency"  # annotation: digests of the key and of the request that created the object
CHANGED_BY = (
    f"{GROUP}/changed-by"  # annotation on workloads: generation of the spec and who wrote it, where that is not the platform
)
RESTART_REQUEST = f"{GROUP}/restart-request"  # annotation on pods: JSON, restarts that somebody asked for and that wait
RESIZE = f"{GROUP}/resize"  # annotation on pods: JSON, the amounts that an update in place gives its containers
IN_PLACE_READY = (
    f"{GROUP}/InPlaceUpdateReady"  # readiness gate and condition of pods: no container is about to restart in place
)
RESTARTS = f"{GROUP}/restarts"  # annotation on pods: JSON, container -> its restart by request
SIMULATED_NODE = "kwok.x-k8s.io/node"  # annotation on nodes that KWOK plays
SIMULATED_MARK = "-sim-"  # stands in the name of a simulated node, between its member and its number
SIMULATED_POD_RANGE = "100.64.0.0/10"  # nobody routes it, and simulated pods have no other addresses
KWOK_USER = "pincompute:kwok"  # user name of the program that plays the simulated nodes of a member
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"  # annotation on templates: another value makes new pods, as kubectl does
CONTAINERS_RESTARTED_AT = (
    f"containers.{GROUP}/restartedAt"  # annotation on templates: JSON, container -> when its restart in every pod was asked for
)

SHARDS_FINALIZER = f"{GROUP}/shards"  # on workloads: shards may still exist in members
COPIES_FINALIZER = f"{GROUP}/copies"  # on PinSecrets and PinConfigs: members may still hold the value
FLEET_FINALIZER = f"{GROUP}/fleet"  # on PinSidecars and PinDaemons: members may still run it
NAMESPACES_FINALIZER = f"{GROUP}/namespaces"  # on Projects: namespaces of the project may still exist
DRAIN_FINALIZER = f"{GROUP}/drain"  # on MemberClusters: work may still run there
PODS_FINALIZER = f"{GROUP}/pods"  # on shards: pods may still run
DAEMON = f"{GROUP}/daemon"  # on pods: name of the PinDaemon that they are copies of
RENDERED = f"{GROUP}/rendered"  # annotation on DaemonSets: digest of what the operator wrote

ADMINISTRATOR = (
    "pincompute:admin"  # user name of a region's administrator, a person among the users of the platform's processes
)
BREAK_GLASS = "pincompute:break-glass"  # group of administrators who hold a short-lived certificate for an emergency
OF_PLATFORM = "platform-"  # containers and volumes in pods whose names begin so are those of sidecars
SYSTEM_NAMESPACE = "pincompute-system"
DAEMONS_NAMESPACE = "pincompute-daemons"  # of the pods of PinDaemons in members
SCRAPES_DAEMONS = f"{GROUP}/scrapes-daemons"  # on namespaces: pods there may reach the port `metrics` of daemons
NODE_ACCESS = "pincompute-node-access"  # name of the ConfigMap there by which administrators give daemons access to nodes
AUDIT_HEADS = "pincompute-audit-heads"  # name of the ConfigMap on the host that anchors the gateways' audit logs
AUDIT_HEAD_BURST = 10_000  # records by which a head may always grow
MOST_AUDIT_HEADS = 4_500  # keys in it, of 1 MiB, from which no more days are added
HOST = "host"  # name of the host cluster among clusters
LOCAL = "local"  # name by which an operator knows the one cluster it serves


FEDERATION = "federation"
GATEWAY = "gateway"
OPERATOR = "operator"
USAGE = "usage"  # reads what containers use from the kubelets of a member
GATEWAY_USAGE = "gateway-usage"  # account with which the gateway asks usage readers; it may do nothing else
NETWORK = "network"  # enforces NetworkPolicies on the nodes of an embedded region

TIER_PRIORITIES = {"Reserved": 0, "OnDemand": 0, "Preemptible": -5}
"""Priority of the pods of each tier. Pods without a class have 0 too, so pods of a tier never preempt those of others."""
PLACEHOLDER_PRIORITY = -10  # of pods that only hold room: everything else preempts them
PLACEHOLDER = "placeholder"
DAEMON_PRIORITY = 1_000_000  # of copies of PinDaemons: a node that lacks memory or disk evicts all others first
DAEMONS = "daemon"


def priority_class(tier: str) -> str:
    """Returns the name of the PriorityClass of a tier's pods in members."""
    return f"pincompute-{tier.lower()}"


def is_ours(given: Mapping[str, str]) -> bool:
    """Returns whether the platform made the object with these labels. It changes and deletes no other."""
    return given.get(MANAGED_BY) == PINCOMPUTE


def service_account(process: str) -> str:
    """Returns the name of a process's service account in the system namespace."""
    return f"pincompute-{process}"


def settings_role(process: str) -> str:
    """Returns the name of the ClusterRole, and of its binding in each project, for a process that handles settings."""
    return f"pincompute-{process}-settings"


def pods_role(process: str) -> str:
    """Returns the name of the ClusterRole, and of its binding in each project, for a process that acts on pods of projects."""
    return f"pincompute-{process}-pods"


def secrets_namespace(process: str) -> str:
    """Returns the host's namespace of the members' kubeconfigs for a process. No other process may read Secrets there."""
    return f"pincompute-{process}"


def user_names(*processes: str) -> tuple[str, ...]:
    """Returns the names under which API servers know the processes: by a token or, where someone issues one, a certificate."""
    return tuple(
        name
        for process in processes
        for name in (f"pincompute:{process}", f"system:serviceaccount:{SYSTEM_NAMESPACE}:{service_account(process)}")
    )
