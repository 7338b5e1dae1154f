"""Singer tap for Salesforce: objects of an org as streams, by REST or Bulk API 2.0."""
