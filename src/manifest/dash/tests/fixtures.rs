//! MPDs for what corpora lack.

/// On demand, several periods: an advertisement on another host in one rung, and single files.
pub(super) const PERIODS: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!-- two periods & an advertisement -->
<?player keep this?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011" type="static" mediaPresentationDuration="PT60S" minBufferTime="PT2S">
  <ProgramInformation><Title><![CDATA[A <film>]]></Title></ProgramInformation>
  <Period id="film" duration="PT30S">
    <AdaptationSet id="1" contentType="video" mimeType="video/mp4" codecs="avc1.64001f" minBandwidth="800000" maxBandwidth="4800000" maxWidth="1920" maxHeight="1080" frameRate="25">
      <ContentProtection schemeIdUri="urn:mpeg:dash:mp4protection:2011" value="cenc"/>
      <ContentProtection schemeIdUri="urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed">
        <pssh xmlns="urn:mpeg:cenc:2013">AAAA</pssh>
        <la:Laurl xmlns:la="https://dashif.org/CPS" licenseType="EME-1.0">/licence?for=one</la:Laurl>
      </ContentProtection>
      <SegmentTemplate timescale="1000" duration="4000" startNumber="0" initialization="v/$RepresentationID$/init.mp4" media="v/$RepresentationID$/$Number%04d$.m4s"/>
      <Representation id="v1" bandwidth="800000" width="640" height="360"/>
      <Representation id="v2" bandwidth="2400000" width="1280" height="720"/>
      <Representation id="v3" bandwidth="4800000" width="1920" height="1080"/>
    </AdaptationSet>
    <AdaptationSet id="2" contentType="audio" mimeType="audio/mp4" codecs="mp4a.40.2" lang="EN">
      <Role schemeIdUri="urn:mpeg:dash:role:2011" value="main"/>
      <SegmentTemplate timescale="1000" duration="4000" initialization="/sound/init.mp4" media="/sound/$Number$.m4s"/>
      <Representation id="a1" bandwidth="64000"/>
      <Representation id="a2" bandwidth="128000"/>
    </AdaptationSet>
    <AdaptationSet id="3" contentType="audio" mimeType="audio/mp4" codecs="mp4a.40.2" lang="de">
      <Representation id="a3" bandwidth="96000"><BaseURL>de.mp4</BaseURL><SegmentBase indexRange="800-1200"><Initialization range="0-799"/></SegmentBase></Representation>
    </AdaptationSet>
    <AdaptationSet id="4" contentType="text" mimeType="text/vtt" lang="en">
      <Representation id="t1" bandwidth="256"><BaseURL>en.vtt</BaseURL></Representation>
    </AdaptationSet>
    <Subset contains="1 2"/>
  </Period>
  <Period id="advertisement" duration="PT10S">
    <BaseURL>https://ads.example/spot/</BaseURL>
    <AdaptationSet contentType="video" mimeType="video/mp4" codecs="avc1.4d401f">
      <Representation id="ad" bandwidth="3000000" height="720">
        <BaseURL>spot.mp4</BaseURL>
        <SegmentBase indexRange="900-999"><Initialization range="0-899"/></SegmentBase>
      </Representation>
    </AdaptationSet>
  </Period>
  <Period id="end" duration="PT20S">
    <BaseURL>https://EDGE.example/end/</BaseURL>
    <AdaptationSet contentType="video" mimeType="video/mp4">
      <SegmentList duration="4"><Initialization sourceURL="i.mp4"/><SegmentURL media="a.mp4" mediaRange="10-20"/><SegmentURL media="b.mp4"/><SegmentURL media="/root/c.mp4"/></SegmentList>
      <Representation id="e1" bandwidth="700000" height="360" codecs="avc1.64001f"/>
      <Representation id="e2" bandwidth="2500000" height="720" codecs="hvc1.2.4.L93.B0" frameRate="60000/1001"/>
    </AdaptationSet>
  </Period>
</MPD>
"#;

/// Live with a timeline, the author's own service description, patches, and a clock.
pub(super) const LIVE: &str = "\u{feff}<?xml version='1.0'?>\r
<MPD xmlns='urn:mpeg:dash:schema:mpd:2011' xmlns:xlink='http://www.w3.org/1999/xlink' id='live' \
profiles='urn:mpeg:dash:profile:isoff-live:2011' type='dynamic' \
availabilityStartTime='2024-01-01T00:00:00Z' publishTime='2024-01-01T00:10:00Z' \
minimumUpdatePeriod='PT2S' minBufferTime='PT2S'>\r
\t<PatchLocation ttl='60'>patch.mpp?id=live</PatchLocation>\r
\t<ServiceDescription id='0'>\r
\t\t<Latency target='3000' max='6000'/>\r
\t\t<PlaybackRate min='0.96' max='1.04'/>\r
\t</ServiceDescription>\r
\t<Period id='p0' start='PT0S'>\r
\t\t<AdaptationSet id='0' mimeType='video/mp4' segmentAlignment='true' startWithSAP='1'>\r
\t\t\t<SegmentTemplate timescale='90000' initialization='$RepresentationID$/i.mp4' \
media='$RepresentationID$/$Time$.m4s'>\r
\t\t\t\t<SegmentTimeline><S t='900000' d='180000' r='5'/><S d='90000'/></SegmentTimeline>\r
\t\t\t</SegmentTemplate>\r
\t\t\t<Representation id='hd' bandwidth='3000000' width='1280' height='720' \
codecs='avc1.640020'/>\r
\t\t\t<Representation id='sd' bandwidth='1000000' width='640' height='360' \
codecs='avc1.64001e'/>\r
\t\t</AdaptationSet>\r
\t</Period>\r
\t<Period id='p1' start='PT600S' xlink:href='next.period' xlink:actuate='onLoad'/>\r
\t<UTCTiming schemeIdUri='urn:mpeg:dash:utc:http-iso:2014' value='/time clock.txt \
https://time.example/'/>\r
</MPD>";

/// Layers, trick mode, thumbnails, two codecs, a preselection, and a prefix for everything.
pub(super) const PREFIXED: &str = r#"<m:MPD xmlns:m="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-live:2011" minBufferTime="PT2S" mediaPresentationDuration="PT8S">
 <m:ServiceDescription id="1"/>
 <m:Period>
  <m:AdaptationSet id="1" contentType="video" mimeType="video/mp4">
   <m:Representation id="base" bandwidth="500000" height="360" codecs="avc1.42c01e"/>
   <m:Representation id="more" bandwidth="1500000" height="720" codecs="svc1.64001f" dependencyId="base"/>
   <Representation id="foreign" bandwidth="1"/>
  </m:AdaptationSet>
  <m:AdaptationSet id="2" contentType="video" mimeType="video/mp4">
   <m:SupplementalProperty schemeIdUri="urn:mpeg:mpegB:cicp:TransferCharacteristics" value="16"/>
   <m:Representation id="h1" bandwidth="900000" height="720" codecs="hvc1.2.4.L93.B0"/>
   <m:Representation id="h2" bandwidth="2900000" height="1080" codecs="hvc1.2.4.L120.B0"/>
  </m:AdaptationSet>
  <m:AdaptationSet id="3" contentType="video" mimeType="video/mp4">
   <m:EssentialProperty schemeIdUri="http://dashif.org/guidelines/trickmode" value="1"/>
   <m:Representation id="trick" bandwidth="100000" height="360" codecs="avc1.42c01e"/>
  </m:AdaptationSet>
  <m:AdaptationSet id="4" mimeType="image/jpeg" contentType="image">
   <m:EssentialProperty schemeIdUri="http://dashif.org/guidelines/thumbnail_tile" value="10x1"/>
   <m:Representation id="thumbs" bandwidth="12000" width="1024" height="1152"/>
  </m:AdaptationSet>
  <m:Preselection id="5" preselectionComponents="2 9"/>
 </m:Period>
</m:MPD>"#;

/// Sound only.
pub(super) const SOUND: &str = r#"<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-live:2011" minBufferTime="PT2S"><Period><AdaptationSet mimeType="audio/mp4" lang="fr"><Representation id="1" bandwidth="32000"/><Representation id="2" bandwidth="96000"/></AdaptationSet></Period></MPD>"#;

/// All of them.
pub(super) const ALL: [&str; 4] = [PERIODS, LIVE, PREFIXED, SOUND];
