"""Objects left out of a discovery without `streams`, because a plain query of them is refused.

source: SOQL and SOSL Reference, "SOQL Object Limits and Limitations" (objects that need a filter), and
the messages Salesforce answers with: "… requires a filter by a single Id", "a filter on a reified column
is required", "entity type … does not support query", "Getting all … is unsupported". Naming an object in
`streams` overrides this list.
"""

NEEDS_A_FILTER = frozenset(
    {
        "AppTabMember",
        "ColorDefinition",
        "CollaborationGroupRecord",
        "ContentDocumentLink",
        "ContentFolderItem",
        "ContentFolderMember",
        "ContentHubItem",
        "DataStatistics",
        "EntityParticle",
        "FieldDefinition",
        "FieldHistoryArchive",
        "FlexQueueItem",
        "FlowVariableView",
        "FlowVersionView",
        "IconDefinition",
        "IdeaComment",
        "NetworkUserHistoryRecent",
        "OwnerChangeOptionInfo",
        "PicklistValueInfo",
        "PlatformAction",
        "RecordActionHistory",
        "RelationshipDomain",
        "RelationshipInfo",
        "SearchLayout",
        "SiteDetail",
        "UserEntityAccess",
        "UserFieldAccess",
        "Vote",
    }
)

NOT_FOR_QUERIES = frozenset(
    {
        "ActivityHistory",
        "AggregateResult",
        "AttachedContentDocument",
        "CombinedAttachment",
        "ContentBody",
        "DataType",
        "EmailStatus",
        "FeedLike",
        "FeedSignal",
        "FeedTrackedChange",
        "FolderedContentDocument",
        "ListViewChartInstance",
        "LookedUpFromActivity",
        "Name",
        "NoteAndAttachment",
        "OpenActivity",
        "OutgoingEmail",
        "OutgoingEmailRelation",
        "OwnedContentDocument",
        "ProcessInstanceHistory",
        "UserRecordAccess",
    }
)

# Big objects answer only to filters on their index; change events are streamed, not queried.
EXCLUDED_SUFFIXES = ("__b", "__ChangeEvent", "ChangeEvent")

# source: Bulk API 2.0 guide, "Query considerations": refused with INVALIDENTITY, so read by REST at once.
NOT_IN_BULK = frozenset(
    {
        "AcceptedEventRelation",
        "AssetTokenEvent",
        "CaseStatus",
        "ContentFolderItem",
        "ContractStatus",
        "DeclinedEventRelation",
        "EventWhoRelation",
        "OrderStatus",
        "PartnerRole",
        "RecentlyViewed",
        "SolutionStatus",
        "TaskPriority",
        "TaskStatus",
        "TaskWhoRelation",
        "UndecidedEventRelation",
    }
)


def excluded(name: str) -> bool:
    """Whether an object is left out when nobody asked for it by name."""
    return name in NEEDS_A_FILTER or name in NOT_FOR_QUERIES or name.endswith(EXCLUDED_SUFFIXES)
