"""Where the services are."""

DEFINITIONS = "/vwed.v1.TaskDefService"
RECORDS = "/vwed.v1.RecordService"
CACHE = "/vwed.v1.CacheService"
