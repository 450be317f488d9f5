#!/usr/bin/env bash
# Makes the bundled sample title, src/demo/title/sample, from generated picture and sound.
#
# The result is in the repository; this runs only when the title is to change. The same ffmpeg
# gives the same bytes. Needs ffmpeg with libx264 and libfreetype, and the DejaVu fonts.
#
# A segment is 1.92 s: 48 frames at 25 a second and 90 AAC frames at 48 kHz, so that the segments
# of picture and sound end together. It is also one bar of four beats, so that a break between
# segments is heard as well as seen.
set -euo pipefail
cd "$(dirname "$0")/title"

bars=12
seconds=23.04
frames=$((bars * 48))
font='DejaVu Sans'
# name height bits/s peak profile level codec
rungs=("180p 180  76k  96k baseline 1.3 avc1.42c00d"
       "270p 270 130k 160k main     2.1 avc1.4d4015"
       "360p 360 220k 270k main     3.0 avc1.4d401e"
       "540p 540 360k 430k main     3.1 avc1.4d401f")
progressive=270p

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
quiet=(-hide_banner -nostdin -v error -y)
# Neither encoder versions nor dates in the files: the bytes depend on the picture only.
exact=(-fflags +bitexact -flags:v +bitexact -flags:a +bitexact -map_metadata -1)

text() { # text, size, x, y -> one drawtext filter; sizes follow the height of the rung
    printf "drawtext=font='%s':text='%s':fontsize=%s:x=%s:y=%s:fontcolor=white:shadowx=1:shadowy=1" \
        "$font" "$1" "$2" "$3" "$4"
}

video() { # name height bits peak profile level codec
    local name=$1 height=$2 width=$(($2 * 16 / 9))
    # The dot moves along once a bar, and the strip of testsrc2 shows sharpness and motion.
    ffmpeg "${quiet[@]}" \
        -f lavfi -i "gradients=s=1280x720:r=25:d=$seconds:n=4:c0=0x0b1e3f:c1=0x1f6f8b:c2=0xd9895b:c3=0x5a2a5e:speed=0.008:seed=7" \
        -f lavfi -i "testsrc2=s=320x180:r=25:d=$seconds" \
        -f lavfi -i "color=c=white:s=48x12:r=25:d=$seconds" \
        -filter_complex "[1]pad=w=iw+8:h=ih+8:x=4:y=4:color=white[inset];
            [0][inset]overlay=x=W-w-64:y=64[a];
            [a][2]overlay=x='64+(W-128-w)*mod(t,1.92)/1.92':y=H-72,
            scale=$width:$height:flags=lanczos,setsar=1,
            $(text "$name" h*0.24 w*0.05 h*0.12),
            $(text 'Weir sample title' h*0.055 w*0.05 h*0.43),
            $(text '%{pts\:hms}' h*0.13 w*0.05 h*0.62),
            $(text 'segment %{eif\:1+trunc(t/1.92)\:d}' h*0.07 w*0.05 h*0.78)" \
        -frames:v "$frames" -c:v libx264 -preset veryslow -profile:v "$5" -level "$6" \
        -pix_fmt yuv420p -bf 0 -g 48 -keyint_min 48 -sc_threshold 0 -threads 1 \
        -b:v "$3" -maxrate "$4" -bufsize "$4" \
        -color_primaries bt709 -color_trc bt709 -colorspace bt709 \
        "${exact[@]}" -f mp4 "$work/$name.mp4"
}

audio() {
    # Four chords, a bar each: bass, an arpeggio of eight notes and a tick on the beat.
    local bar='mod(floor(t/1.92),4)' note='mod(floor(t/0.24),8)'
    local root="110*pow(2,(if(eq($bar,0),0,if(eq($bar,1),-4,if(eq($bar,2),3,-2))))/12)"
    local third="if(eq($bar,0),3,4)"
    local step="if(eq($note,0),0,if(eq($note,1),7,if(eq($note,2),12,if(eq($note,3),12+$third,if(eq($note,4),19,if(eq($note,5),12+$third,if(eq($note,6),12,7)))))))"
    local base="st(0,$root);st(1,2*ld(0)*pow(2,($step)/12));st(2,mod(t,0.24));st(3,mod(t,0.48))"
    local bass="0.22*sin(2*PI*ld(0)*t)*(0.6+0.4*exp(-2*mod(t,0.96)))"
    local pluck="(0.22*sin(2*PI*ld(1)*t)+0.07*sin(4*PI*ld(1)*t))*exp(-9*ld(2))*min(1,ld(2)*400)"
    local tick="0.10*sin(2*PI*1760*t)*exp(-70*ld(3))"
    # Raw ADTS carries no encoder delay, so the files need no edit list; the sound is 21 ms late.
    ffmpeg "${quiet[@]}" -f lavfi \
        -i "aevalsrc='$base;$bass+$pluck+$tick|$base;$bass+0.8*$pluck+$tick':s=48000:d=$seconds" \
        -frames:a $((bars * 90)) -c:a aac -b:a 56k "${exact[@]}" -f adts "$work/audio.aac"
}

segments() {
    rm -rf sample sample.mp4
    mkdir -p "$work/dash"/{0,1,2,3,4} sample
    # The packager's segments and init segments are kept, its manifests are not: they carry
    # dates, and averages where HLS wants peaks.
    ffmpeg "${quiet[@]}" -i "$work/180p.mp4" -i "$work/270p.mp4" -i "$work/360p.mp4" \
        -i "$work/540p.mp4" -i "$work/audio.aac" -map 0 -map 1 -map 2 -map 3 -map 4 \
        -c copy -metadata:s:a:0 language=en "${exact[@]}" \
        -f dash -seg_duration 1.92 -use_template 1 -use_timeline 0 -dash_segment_type mp4 \
        -adaptation_sets 'id=0,streams=0,1,2,3 id=1,streams=4' \
        -init_seg_name '$RepresentationID$/init.mp4' \
        -media_seg_name '$RepresentationID$/$Number%02d$.m4s' "$work/dash/manifest.mpd"
    local index=0 name
    for name in 180p 270p 360p 540p audio; do
        mv "$work/dash/$index" "sample/$name"
        index=$((index + 1))
    done
    ffmpeg "${quiet[@]}" -i "$work/$progressive.mp4" -i "$work/audio.aac" -map 0 -map 1 -c copy \
        "${exact[@]}" -movflags +faststart sample.mp4
}

peak() { # directory of segments -> bits a second of the largest one, rounded up to 1,000
    local largest
    largest=$(stat -c %s "sample/$1"/*.m4s | sort -n | tail -1)
    echo $(((largest * 8 * 100 / 192 / 1000 + 1) * 1000))
}

average() { # directory of segments -> bits a second over all, rounded up to 1,000
    local total
    total=$(stat -c %s "sample/$1"/*.m4s | awk '{ sum += $1 } END { print sum }')
    echo $(((total * 8 * 100 / 192 / bars / 1000 + 1) * 1000))
}

hls() {
    local name height width codec number
    for name in 180p 270p 360p 540p audio; do
        {
            printf '#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n#EXT-X-PLAYLIST-TYPE:VOD\n'
            printf '#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-MAP:URI="%s/init.mp4"\n' "$name"
            for number in $(seq -f %02g "$bars"); do
                printf '#EXTINF:1.920,\n%s/%s.m4s\n' "$name" "$number"
            done
            printf '#EXT-X-ENDLIST\n'
        } >"sample/$name.m3u8"
    done
    {
        printf '#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n'
        printf '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="English",LANGUAGE="en",'
        printf 'DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",URI="audio.m3u8"\n'
        while read -r name height _ _ _ _ codec; do
            width=$((height * 16 / 9))
            printf '#EXT-X-STREAM-INF:BANDWIDTH=%s,AVERAGE-BANDWIDTH=%s,RESOLUTION=%sx%s,' \
                $(($(peak "$name") + $(peak audio))) $(($(average "$name") + $(average audio))) \
                "$width" "$height"
            printf 'FRAME-RATE=25.000,CODECS="%s,mp4a.40.2",AUDIO="audio"\n%s.m3u8\n' \
                "$codec" "$name"
        done < <(printf '%s\n' "${rungs[@]}")
    } >sample/master.m3u8
}

dash() {
    local template name height width codec
    # A timeline says the number of segments exactly; ffmpeg's player rounds durations and would
    # ask for a segment past the end.
    template='<SegmentTemplate timescale="48000" startNumber="1"
        initialization="$RepresentationID$/init.mp4" media="$RepresentationID$/$Number%02d$.m4s">
        <SegmentTimeline><S t="0" d="92160" r="'$((bars - 1))'"/></SegmentTimeline>
      </SegmentTemplate>'
    {
        cat <<MPD
<?xml version="1.0" encoding="UTF-8"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-live:2011"
    type="static" mediaPresentationDuration="PT${seconds}S" maxSegmentDuration="PT1.92S"
    minBufferTime="PT3.84S">
  <Period id="0" start="PT0S">
    <AdaptationSet id="0" contentType="video" mimeType="video/mp4" segmentAlignment="true"
        startWithSAP="1" frameRate="25" par="16:9" maxWidth="960" maxHeight="540">
      $template
MPD
        while read -r name height _ _ _ _ codec; do
            width=$((height * 16 / 9))
            printf '      <Representation id="%s" codecs="%s" bandwidth="%s" width="%s" height="%s"' \
                "$name" "$codec" "$(peak "$name")" "$width" "$height"
            printf ' sar="1:1"/>\n'
        done < <(printf '%s\n' "${rungs[@]}")
        cat <<MPD
    </AdaptationSet>
    <AdaptationSet id="1" contentType="audio" mimeType="audio/mp4" lang="en"
        segmentAlignment="true" startWithSAP="1">
      $template
      <Representation id="audio" codecs="mp4a.40.2" bandwidth="$(peak audio)"
          audioSamplingRate="48000">
        <AudioChannelConfiguration value="2"
            schemeIdUri="urn:mpeg:dash:23003:3:audio_channel_configuration:2011"/>
      </Representation>
    </AdaptationSet>
  </Period>
</MPD>
MPD
    } >sample/manifest.mpd
}

for rung in "${rungs[@]}"; do
    # shellcheck disable=SC2086  # the columns are the arguments
    video $rung
done
audio
segments
hls
dash
du -sb .
