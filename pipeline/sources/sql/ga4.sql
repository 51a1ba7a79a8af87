-- GA4 events (events_YYYYMMDD, one row per event) -> one row per pair of visitor and item.
--
-- The rule of pipeline/sources/ga4.py and pipeline/interactions/sessions.py in SQL;
-- tests/pipeline/sources/test_bigquery.py checks that both return the same.
-- {source} is the checked name of the tables; every value is a parameter. Events that make no pair are returned too,
-- one row per reason with their number, so that one scan accounts for all of them. Views after a split in time are
-- summed apart.
WITH
  days AS (
    SELECT event_timestamp, event_name, event_bundle_sequence_id, event_params, user_id, user_pseudo_id
    FROM `{source}`
    WHERE (
        _TABLE_SUFFIX BETWEEN @first_final AND @last_final
        OR _TABLE_SUFFIX BETWEEN @first_fresh AND @last_fresh
        OR _TABLE_SUFFIX BETWEEN @first_intraday AND @last_intraday
      )
      AND _TABLE_SUFFIX IN UNNEST(@suffixes)
  ),
  -- A parameter's value sits in one of four fields; a number is written without a needless fraction.
  events AS (
    SELECT
      IF(
        @prefer_user_id AND user_id NOT IN ('', '0') AND user_id NOT IN UNNEST(@missing_ids),
        user_id,
        IF(user_pseudo_id IN UNNEST(@missing_ids), NULL, user_pseudo_id)) AS visitorId,
      user_id,
      user_pseudo_id,
      event_timestamp,
      event_name,
      event_bundle_sequence_id,
      TO_JSON_STRING(event_params) AS params,
      DIV(IF(event_timestamp BETWEEN 0 AND 253402300799999999, event_timestamp, NULL), 1000) AS time_ms,
      (
        SELECT
          COALESCE(
            param.value.string_value,
            CAST(param.value.int_value AS STRING),
            CASE
              WHEN IS_NAN(param.value.float_value) THEN NULL
              WHEN param.value.float_value = TRUNC(param.value.float_value) AND (ABS(param.value.float_value) <= 9007199254740992 OR (ABS(param.value.float_value) < 1e18 AND MOD(SAFE_CAST(param.value.float_value AS INT64), 1000) = 0))
                THEN CAST(SAFE_CAST(param.value.float_value AS INT64) AS STRING)
              WHEN ABS(param.value.float_value) >= 9007199254740992 THEN 'inexact'
              ELSE CAST(param.value.float_value AS STRING)
            END,
            CASE
              WHEN IS_NAN(param.value.double_value) THEN NULL
              WHEN param.value.double_value = TRUNC(param.value.double_value) AND (ABS(param.value.double_value) <= 9007199254740992 OR (ABS(param.value.double_value) < 1e18 AND MOD(SAFE_CAST(param.value.double_value AS INT64), 1000) = 0))
                THEN CAST(SAFE_CAST(param.value.double_value AS INT64) AS STRING)
              WHEN ABS(param.value.double_value) >= 9007199254740992 THEN 'inexact'
              ELSE CAST(param.value.double_value AS STRING)
            END)
        FROM UNNEST(days.event_params) AS param WITH OFFSET AS place
        WHERE param.key = @item_parameter
        ORDER BY place
        LIMIT 1
      ) AS item,
      (
        SELECT
          SUM(CAST(COALESCE(
            SAFE_CAST(param.value.string_value AS INT64),
            param.value.int_value,
            SAFE_CAST(param.value.float_value AS INT64),
            SAFE_CAST(param.value.double_value AS INT64)) AS FLOAT64))
        FROM UNNEST(days.event_params) AS param
        WHERE param.key = 'engagement_time_msec'
      ) AS engaged_ms
    FROM days
  ),
  engagements AS (
    SELECT
      visitorId,
      IF(@item_parameter = 'page_location', REGEXP_REPLACE(item, '(?s)[?#].*', ''), item) AS contentId,
      time_ms,
      time_ms >= @cut_ms AS is_late,
      engaged_ms,
      CASE
        WHEN visitorId IS NULL THEN 'skipped.no_visitor_id'
        WHEN item IS NULL OR item IN UNNEST(@missing_ids) THEN 'skipped.no_item'
        WHEN item = 'inexact' THEN 'rejected.content_id_inexact'
        WHEN time_ms IS NULL THEN 'rejected.event_timestamp_invalid'
        WHEN engaged_ms NOT BETWEEN 0 AND 253402300799999 THEN 'rejected.engagement_invalid'
        WHEN @drop_duplicate_events AND 1 < ROW_NUMBER() OVER (
          PARTITION BY user_id, user_pseudo_id, event_timestamp, event_name, event_bundle_sequence_id, params)
          THEN 'skipped.duplicate_event'
      END AS reason
    FROM events
  )
SELECT
  reason,
  IF(reason IS NULL, visitorId, NULL) AS visitorId,
  IF(reason IS NULL, contentId, NULL) AS contentId,
  CAST(SUM(IF(reason IS NULL, IFNULL(engaged_ms, 0), 0)) AS INT64) AS amount,
  MAX(time_ms) AS time_ms,
  COUNT(*) AS records
FROM engagements
GROUP BY 1, 2, 3, is_late
