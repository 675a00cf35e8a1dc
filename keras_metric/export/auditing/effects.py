"""What a request may do besides getting an answer, read from the operations behind a signature."""

import re

_XLA = "needs XLA, which a server refuses unless told otherwise"
_EFFECTS = {
    "runs Python code, which a server does not have": """
        PyFunc PyFuncStateless EagerPyFunc
    """,
    _XLA: """
        XlaCallModule XlaLaunch(V2)? _XlaCompile _XlaRun
    """,
    "is random (augmentation left on?)": r"""
        \w*Random\w* \w*Rng\w* \w*TruncatedNormal\w* Stateful(StandardNormal|Uniform)\w*
        (Stateless)?Multinomial \w+CandidateSampler (Stateless)?SampleDistortedBoundingBox\w*
        StatelessShuffle \w*Shuffle(AndRepeat)?Dataset\w*
    """,
    "reads or writes files of the server": r"""
        ReadFile WriteFile \w*MatchingFiles\w* \w*TFRecord\w* \w*TextLine\w* \w*FixedLengthRecord\w*
        RecordInput \w*SqlDataset\w* \w*LMDB\w* \w*CSVDataset\w* WholeFileReader\w* Reader[A-Z]\w*
        (Cache|Snapshot|Save|Load|ListSnapshotChunks)\w*Dataset\w* DistributedSave
        Save(V2|Slices)? Restore(V2|Slice)? MergeV2Checkpoints LoadAndRemapMatrix
        GenerateVocabRemapping InitializeTableFromTextFile\w* FileSystemSetConfiguration
        Create\w*SummaryFileWriter CreateSummaryDbWriter Write\w*Summary
    """,
    "changes variables, tables or queues that other requests see": r"""
        Assign\w* \w*StridedSliceAssign (Resource)?(Sparse)?Apply[A-Z]\w* (Resource)?CountUpTo
        (Resource)?Scatter(Nd)?(Add|Div|Max|Min|Mul|Sub|Update)
        LookupTable(Insert|Remove|Import)\w* InitializeTable(V2|FromDataset)?
        Queue(Enqueue|Dequeue|Close)\w* (Un)?[sS]tage (Ordered)?Map(Stage|Unstage|Clear)\w*
        Barrier(InsertMany|TakeMany|Close) \w*Accumulator(Apply|Take|Set)\w*
    """,
    "prints into the log of the server": """
        Print(V2)?
    """,
    "calls other machines": r"""
        DataService\w* Rpc\w+ Collective\w+ _?(Host)?(Send|Recv)
        Debug(Gradient|Identity|NanCount|Numeric)\w*
    """,
}
_PATTERNS = {what: re.compile("|".join(names.split())) for what, names in _EFFECTS.items()}


def effects(nodes: list) -> dict[str, set[str]]:
    """The operations of each kind among the nodes of a graph; kinds without any are left out."""
    operations = {node.op for node in nodes}
    found = {
        what: {op for op in operations if pattern.fullmatch(op)}
        for what, pattern in _PATTERNS.items()
    }
    if any(node.attr["_XlaMustCompile"].b for node in nodes if "_XlaMustCompile" in node.attr):
        found[_XLA].add("jit_compile=True")
    return {what: ops for what, ops in found.items() if ops}
