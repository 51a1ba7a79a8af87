-- GA360 sessions (ga_sessions_YYYYMMDD, one row per session) -> one row per pair of visitor and item.
--
-- The rule of pipeline/sources/ga360.py and pipeline/interactions/sessions.py in SQL;
-- tests/pipeline/sources/test_bigquery.py checks that both return the same.
-- {source} is the checked name of the tables; every value is a parameter. Pages that make no pair are returned too,
-- one row per reason with their number, so that one scan accounts for all of them. Views after a split in time are
-- summed apart.
WITH
  sessions AS (
    SELECT fullVisitorId, visitNumber, visitId, visitStartTime, hits
    FROM `{source}`
    WHERE (
        _TABLE_SUFFIX BETWEEN @first_final AND @last_final
        OR _TABLE_SUFFIX BETWEEN @first_fresh AND @last_fresh
        OR _TABLE_SUFFIX BETWEEN @first_intraday AND @last_intraday
      )
      AND _TABLE_SUFFIX IN UNNEST(@suffixes)
  ),
  pages AS (
    SELECT
      IF(@visitor_is_visit, ARRAY_TO_STRING([fullVisitorId, CAST(visitNumber AS STRING)], '-'), fullVisitorId)
        AS visitorId,
      visitId,
      IF(visitStartTime BETWEEN 0 AND 253402300799, visitStartTime, NULL) * 1000 AS start_ms,
      IF(hit.time BETWEEN 0 AND 253402300799999, hit.time, NULL) AS hit_ms,
      hit.hitNumber AS hit_number,
      (
        SELECT MAX(IF(dimension.index = @item_dimension_index, dimension.value, NULL))
        FROM UNNEST(hit.customDimensions) AS dimension
      ) AS contentId,
      CASE
        WHEN fullVisitorId IS NULL OR fullVisitorId IN UNNEST(@missing_ids) THEN 'rejected.visitor_id_missing'
        WHEN @visitor_is_visit AND visitNumber IS NULL THEN 'rejected.visit_number_invalid'
        WHEN visitId IS NULL THEN 'rejected.visit_id_invalid'
        WHEN IFNULL(visitStartTime, -1) NOT BETWEEN 0 AND 253402300799 THEN 'rejected.visit_start_time_invalid'
        WHEN IFNULL(hit.time, -1) NOT BETWEEN 0 AND 253402300799999 THEN 'rejected.hit_time_invalid'
      END AS fault
    FROM sessions, UNNEST(sessions.hits) AS hit
    WHERE hit.type = 'PAGE'
  ),
  -- The dwell of a page lasts to the next page of its session; the last page of a session has none. Only sound pages
  -- are in line: `fault` in the partition keeps the others apart.
  views AS (
    SELECT
      visitorId,
      contentId,
      start_ms + hit_ms AS time_ms,
      start_ms + hit_ms >= @cut_ms AS is_late,
      LEAD(hit_ms) OVER (PARTITION BY fault, visitorId, visitId ORDER BY hit_ms, hit_number) - hit_ms AS dwell_ms,
      CASE
        WHEN fault IS NOT NULL THEN fault
        WHEN contentId IS NULL OR contentId IN UNNEST(@missing_ids) THEN 'skipped.no_item'
      END AS reason
    FROM pages
  )
SELECT
  reason,
  IF(reason IS NULL, visitorId, NULL) AS visitorId,
  IF(reason IS NULL, contentId, NULL) AS contentId,
  CAST(SUM(IFNULL(dwell_ms, 0)) AS INT64) AS amount,
  MAX(time_ms) AS time_ms,
  COUNT(*) AS records
FROM views
GROUP BY 1, 2, 3, is_late
